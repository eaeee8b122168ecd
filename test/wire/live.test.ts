// The live capture on a real wire: what was sent is what was seen, to the packet.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { capture, captureAs, withoutBpf, type Captured } from "./capture.ts";
import { Network, type Sent } from "./network.ts";

const run = promisify(execFile);
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

/** Long enough for a block to retire and for `settle` not to matter. */
const soon = 300;

function accounted(result: Captured): void {
  const [ledger] = result.ledger;
  expect(ledger.residue).toBe(0);
  expect(ledger.in_flight).toBe(0);
  expect(ledger.seen).toBe(ledger.ring_drops + ledger.delivered);
}

async function whileSending(
  options: readonly string[],
  ...sending: string[]
): Promise<{ result: Captured; sent: Sent }> {
  await using network = await Network.create();
  let sent: Sent | undefined;
  const result = await capture(
    network,
    async () => {
      sent = await network.send(...sending);
      await sleep(soon);
    },
    ...options,
  );
  if (sent === undefined) throw new Error("nothing was sent");
  return { result, sent };
}

describe("a live capture", { timeout: 60_000 }, () => {
  test.each([
    ["MACsec", "macsec", "1"],
    ["ESP", "esp", "2"],
    ["MACsec, ESP, TCP and UDP together", "mixed", "2"],
  ])("%s at full rate: no packet unaccounted, every number left out is found", async (_, kind, threads) => {
    const { result, sent } = await whileSending(
      ["--threads", threads],
      ..."--packets 400000 --flows 5000 --loss 0.002 --size 400".split(" "),
      "--kind",
      kind,
    );
    accounted(result);
    expect(result.ledger[0]).toMatchObject({ seen: sent.sent, ring_drops: 0, tracked: sent.sent });
    expect(result).toMatchObject({ flows: sent.flows, lost: sent.skipped, gaps: sent.gaps, complete: true });
    expect(result.found.every((gap) => gap.suspect === 0)).toBe(true);
  });

  test("a generated capture put on the wire shows the truth: VLAN tags, IPv6, NAT-T, reordering, duplicates, rekeys", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tapline-wire-"));
    try {
      const pcap = join(folder, "made.pcap");
      const truth = join(folder, "made.json");
      await run(tapline, [
        ..."pcap generate --packets 60k --flows 600 --protocol mixed --vlan --ipv6 --xpn --esn --rekey 40".split(" "),
        ..."--loss 1% --reorder 2% --duplicate 1% --pps 100000".split(" "),
        "--output",
        pcap,
        "--truth",
        truth,
      ]);
      await using network = await Network.create();
      const result = await capture(network, async () => {
        await network.in(network.sender, "tcpreplay", "-q", "--topspeed", "-i", network.near, pcap);
        await sleep(soon);
      });
      accounted(result);
      const { totals } = JSON.parse(await readFile(truth, "utf8")) as {
        totals: {
          packets: number;
          byProtocol: Record<
            string,
            { flows: number; packets: number; lost: number; reordered: number; duplicate: number }
          >;
        };
      };
      expect(result.ledger[0].seen).toBe(totals.packets);
      for (const [protocol, { flows, packets, lost, reordered, duplicate }] of Object.entries(totals.byProtocol)) {
        expect(result.protocols[protocol], protocol).toMatchObject({ flows, packets, lost, reordered, duplicate });
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("two senders and a reader that is stopped: what the ring could not hold is counted, and no gap of it is called the network's", async () => {
    await using network = await Network.create();
    let sent: Sent[] = [];
    const result = await capture(
      network,
      async (pid) => {
        const sending = Promise.all([
          network.send(..."--seconds 2 --flows 500 --pps 200000".split(" ")),
          network.send(..."--seconds 2 --flows 500 --pps 200000 --kind esp".split(" ")),
        ]);
        await sleep(600);
        process.kill(pid, "SIGSTOP");
        await sleep(500);
        process.kill(pid, "SIGCONT");
        sent = await sending;
        await sleep(soon);
      },
      "--ring",
      "1",
    );
    accounted(result);
    expect(result.ledger[0].ring_drops).toBeGreaterThan(0);
    expect(result.ledger[0].seen).toBe(sent.reduce((sum, one) => sum + one.sent, 0));
    expect(result.gaps).toBeGreaterThan(0);
    expect(result.found.filter((gap) => gap.suspect === 0)).toEqual([]);
  });

  test("numbers left out by the network while the ring overflows elsewhen are not suspect", async () => {
    await using network = await Network.create();
    const result = await capture(
      network,
      async (pid) => {
        await network.send(..."--packets 100000 --flows 50 --loss 0.01 --pps 200000".split(" "));
        await sleep(soon);
        process.kill(pid, "SIGSTOP");
        await network.send(..."--packets 100000 --flows 5 --kind esp --pps 300000".split(" "));
        process.kill(pid, "SIGCONT");
        await sleep(soon);
      },
      "--ring",
      "1",
    );
    accounted(result);
    expect(result.ledger[0].ring_drops).toBeGreaterThan(0);
    expect(result.found.filter((gap) => gap.suspect === 0).length).toBeGreaterThan(500);
  });

  test("an interface deleted and made again under its name: the capture goes on, the outage is suspect", async () => {
    await using network = await Network.create();
    const sent: Sent[] = [];
    const result = await capture(network, async () => {
      sent.push(await network.send(..."--packets 20000 --flows 10 --pps 200000".split(" ")));
      await sleep(soon);
      await network.disconnect();
      await sleep(soon);
      await network.connect();
      await sleep(1000);
      sent.push(await network.send(..."--packets 40000 --flows 10 --pps 200000 --first 2501".split(" ")));
      await sleep(soon);
    });
    accounted(result);
    expect(result.ledger[0].seen).toBe(sent.reduce((sum, one) => sum + one.sent, 0));
    expect(result.found).toEqual(Array.from({ length: 10 }, () => ({ first: 2001, last: 2500, suspect: 1 })));
  });

  test("a filter of libpcap's language lets only its packets in; one that does not compile is named", async () => {
    const { result, sent } = await whileSending(
      ["--filter", "udp port 5000"],
      ..."--packets 40000 --flows 400 --kind mixed".split(" "),
    );
    accounted(result);
    expect(result.packets).toBe(sent.sent / 4);
    expect(Object.keys(result.protocols)).toEqual(["udp"]);

    await using network = await Network.create();
    const refused = capture(network, () => Promise.resolve(), "--filter", "udp prot 5000");
    await expect(refused).rejects.toThrow(/syntax error.*FILTER_BPF_INVALID/s);
  });

  test("what this machine sends is left out, unless asked for", async () => {
    for (const [direction, seen] of [
      ["In", 0],
      ["Both", 1000],
    ] as const) {
      await using network = await Network.create();
      const result = await capture(
        network,
        async () => {
          await network.sendBack(..."--packets 1000 --flows 10".split(" "));
          await sleep(soon);
        },
        "--direction",
        direction,
      );
      accounted(result);
      expect(result.packets).toBe(seen);
    }
  });

  test.each([
    ["2,000 SCIs", "macsec"],
    ["2,000 SPIs", "esp"],
    ["2,000 TCP flows", "tcp"],
  ])("%s are spread over 4 threads within a fifth of even, each flow on one of them", async (_, kind) => {
    const { result, sent } = await whileSending(
      ["--threads", "4", "--ring", "8"],
      ..."--packets 100000 --flows 2000 --size 200 --pps 200000".split(" "),
      "--kind",
      kind,
    );
    accounted(result);
    const flows = result.members.map((member) => member.flows);
    // A flow on two threads would be two flows.
    expect(flows.reduce((sum, one) => sum + one, 0)).toBe(sent.flows);
    for (const one of flows) expect(Math.abs(one - 500)).toBeLessThanOrEqual(100);
  });

  test.each(["macsec", "esp", "tcp"])("where BPF is not allowed, %s is spread all the same", async (kind) => {
    await using network = await Network.create();
    const result = await captureAs(
      withoutBpf,
      network,
      async () => {
        await network.send(..."--packets 40000 --flows 2000 --size 200 --pps 100000 --kind".split(" "), kind);
        await sleep(soon);
      },
      ..."--threads 4 --ring 8".split(" "),
    );
    accounted(result);
    expect(result.flows).toBe(2000);
    expect(result.fanout).toBe("classic");
    for (const { flows } of result.members) expect(Math.abs(flows - 500)).toBeLessThanOrEqual(200);
  });

  test("datagrams that an offload merged count as the packets they are, and their unfinished checksums are no error", async () => {
    await using network = await Network.create();
    await network.in(network.sender, "ip", "addr", "add", "10.9.0.1/24", "dev", network.near);
    await network.in(
      network.sender,
      "ip",
      "neigh",
      "add",
      "10.9.0.2",
      "lladdr",
      "02:00:00:00:00:09",
      "dev",
      network.near,
    );
    const result = await capture(network, async () => {
      // UDP_SEGMENT: one send of 20 datagrams of 1,200 bytes, which veth passes on as one frame.
      await network.in(
        network.sender,
        "python3",
        "-c",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(17, 103, 1200); s.sendto(b'x' * 24000, ('10.9.0.2', 7000))",
      );
      await sleep(soon);
    });
    accounted(result);
    expect(result.ledger[0]).toMatchObject({
      seen: 1,
      tracked: 1,
      super_packets: 1,
      segments: 20,
      partial_checksums: 1,
    });
    expect(result.protocols["udp"]).toMatchObject({ flows: 1, packets: 20, bytes: 20 * (1200 + 42) });
  });
});
