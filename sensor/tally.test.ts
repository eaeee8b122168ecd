import { expect, test } from "vitest";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { Tally } from "./tally.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);
interface Made {
  packet: number;
  protocol?: number;
  packets?: number;
  lost?: number;
}
function batch(flows: readonly Made[]): ArrayBuffer {
  const numbers = new Float64Array(flows.length * stride);
  const raw = new Uint8Array(numbers.buffer);
  for (const [i, { packet, protocol = 0, packets = 1, lost = 0 }] of flows.entries()) {
    numbers[i * stride + at.packet] = packet;
    numbers[i * stride + at.packets] = packets;
    numbers[i * stride + at.lost] = lost;
    raw[(i * stride + at.meta) * 8] = protocol;
  }
  return numbers.buffer;
}
const worst = (tally: Tally): (number | undefined)[] => tally.worst.map(({ numbers }) => numbers[at.packet]);

test("totals are kept per protocol, of those that occurred", () => {
  const tally = new Tally();
  tally.add(
    batch([
      { packet: 1, packets: 5, lost: 2 },
      { packet: 2, protocol: 3, packets: 7 },
    ]),
  );
  tally.add(batch([{ packet: 3, packets: 1, lost: 1 }]));
  expect(tally.flows).toBe(3);
  expect([...tally.byProtocol.keys()]).toEqual(["macsec", "tcp"]);
  expect(tally.byProtocol.get("macsec")).toMatchObject({ flows: 2, packets: 6, lost: 3 });
  expect(tally.byProtocol.get("tcp")).toMatchObject({ flows: 1, packets: 7, lost: 0 });
});

test("the five worst flows are the same in whatever order flows finish", () => {
  const flows = [1, 9, 9, 2, 9, 0, 4, 9, 9, 9, 3].map((lost, i) => ({ packet: i + 1, lost }));
  const [forward, backward, single] = [new Tally(), new Tally(), new Tally()];
  forward.add(batch(flows));
  backward.add(batch(flows.toReversed()));
  for (const flow of flows) single.add(batch([flow]));
  expect(worst(forward)).toEqual([2, 3, 5, 8, 9]);
  expect(worst(backward)).toEqual(worst(forward));
  expect(worst(single)).toEqual(worst(forward));
});

test("a flow that lost nothing is not among the worst", () => {
  const tally = new Tally();
  tally.add(batch([{ packet: 1 }, { packet: 2, lost: 1 }]));
  expect(worst(tally)).toEqual([2]);
});

test("the worst flows outlive their batch, whose buffer travels on", () => {
  const tally = new Tally();
  const records = batch([{ packet: 7, lost: 3 }]);
  tally.add(records);
  structuredClone(records, { transfer: [records] });
  expect(worst(tally)).toEqual([7]);
});
