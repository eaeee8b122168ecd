// Lines of a watch, however the bytes were cut into pieces.
import fc from "fast-check";
import { expect, it } from "vitest";
import { watchEvents } from "./watch.ts";

async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (let turn = 0; from < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield await Promise.resolve(bytes.subarray(from, from + size));
    from += size;
  }
}
const events = async (text: string, sizes: readonly number[] = [7]): Promise<unknown[]> =>
  await Array.fromAsync(watchEvents(pieces(Buffer.from(text), sizes), "watch nodes"));

it("gives the same changes for any pieces, and none for half a line at the end", async () => {
  const name = fc.string({ unit: "binary", maxLength: 30 });
  const event = fc.record({
    type: fc.constantFrom("ADDED", "MODIFIED", "DELETED", "BOOKMARK"),
    object: fc.record({ name }),
  });
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.array(event), sizes, fc.nat(20), async (sent, cut, left) => {
      const text = sent.map((one) => `${JSON.stringify(one)}\n`).join("");
      const half = JSON.stringify({ type: "ADDED", object: {} }).slice(0, left);
      expect(await events(text + half, cut)).toEqual(sent);
    }),
  );
});

const error = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

it("throws what the API says instead of a change", async () => {
  const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 1 (5)" };
  await expect(events(`${JSON.stringify({ type: "ERROR", object: status })}\n`)).rejects.toEqual(
    error("KUBE_EXPIRED", /too old/),
  );
  await expect(events('{"type":"NEWS","object":{}}\n')).rejects.toEqual(error("KUBE_FAILED", /a change of type NEWS/));
  await expect(events("<html>\n")).rejects.toEqual(error("KUBE_FAILED", /watch nodes/));
});

it("does not gather a line without end", async () => {
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield await Promise.resolve(Buffer.alloc(1 << 20, "x"));
  };
  await expect(Array.fromAsync(watchEvents(endless(), "watch nodes"))).rejects.toEqual(
    error("KUBE_FAILED", /8388608 bytes/),
  );
});
