// The relay's proof rig itself: a rig that cannot fail proves nothing. Every fault that the sender makes on purpose is counted,
// exactly, by every sink.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { group, port, sendStream, Sink, startSending, type Stream } from "../../cli/relay-ends.ts";
import { relayPeer } from "../../cli/relay-peers.ts";
import { relayCores, RelayRig } from "../../cli/relay-rig.ts";

const { signal } = new AbortController();
const sinks = ["xdp", "tc", "hash"] as const;
/** What a stream of so many packets should look like when nothing happened to it. */
const clean = {
  duplicate: 0, lost: 0, ahead: 0, behind: 0, beyond: 0, wrong_length: 0, varied: 0, corrupt: 0, bad_checksum: 0,
} as const; // biome-ignore format: one list
const packets = 20_000;
const pps = 100_000;

async function arrived(how: (typeof sinks)[number], stream: Stream) {
  using rig = new RelayRig({ hops: 0, mtu: 9100 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets, how });
  const sent = await sendStream(rig, { packets, pps, ...stream }, signal);
  return { sent, report: await sink.settled(packets) };
}

describe.each(sinks)("the %s sink", (how) => {
  test.each([64, 1400, 1472, 9000])("counts a clean stream of %i bytes once, in order, whole", async (size) => {
    const { sent, report } = await arrived(how, { size });
    expect(sent).toMatchObject({ sent: packets, numbers: packets, refused: 0 });
    expect(report.lanes).toMatchObject([{ received: packets, unique: packets, ...clean }]);
    expect(report.lanes[0]?.first).toEqual({ source: "10.0.1.1", source_port: 10_000, ttl: 64, dscp: 0, vlan: 0 });
    expect(report.lanes[0]?.bytes).toBe(packets * (size + 42));
    expect(report).toMatchObject({ damaged: 0, unexpected: 0 });
  });

  // Numbers 0 to 19,999: multiples of 1,000 but 0 are 19, of 777 are 25.
  test.each<[string, Stream, object]>([
    ["a loss", { loseEvery: 1000 }, { received: packets - 19, unique: packets - 19, lost: 19, runs: 19, first_lost: 1000, ahead: 19 }],
    ["a duplicate", { duplicateEvery: 777 }, { received: packets + 25, unique: packets, duplicate: 25, behind: 25 }],
    ["a swapped pair", { swapEvery: 1000 }, { unique: packets, ahead: 19, behind: 19 }],
    ["a missing byte", { shortenEvery: 777 }, { unique: packets, wrong_length: 25 }],
  ])("counts %s exactly", async (_, fault, expected) => {
    const { report } = await arrived(how, fault);
    expect(report.lanes).toMatchObject([{ ...clean, ...expected }]);
  }); // biome-ignore format: one table

  test("does not take a packet with a spoilt stamp for another one", async () => {
    const { report } = await arrived(how, { damageEvery: 1000 });
    expect(report).toMatchObject({ damaged: 19, lanes: [{ unique: packets - 19, lost: 19, duplicate: 0 }] });
  });

  test("counts what goes to no lane, and lets what is not the rig's go on", async () => {
    using rig = new RelayRig({ hops: 0 });
    const sink = await Sink.start(rig, { lanes: [{ address: "239.1.1.7" }], numbers: 64, how });
    await sendStream(rig, { packets: 100, pps }, signal);
    for (let i = 0; i < 3; i++) rig.said("a", "sh", "-c", "echo | socat -u - UDP4-SENDTO:10.0.1.2:9");
    const report = await sink.settled(0);
    expect(report).toMatchObject({ unexpected: 100, lanes: [{ received: 0 }] });
    expect(report.other).toBeGreaterThanOrEqual(3);
  });

  test.each<[string, Stream, string]>([
    ["a VLAN", { vlan: 42 }, group],
    ["IPv6", { source: "fd00:0:0:1::1", group: "ff3e::1:1" }, "ff3e::1:1"],
    ["ESP", { protocol: "esp" }, group],
    ["DSCP and TTL", { dscp: 46, ttl: 5 }, group],
  ])("reads %s", async (_, stream, address) => {
    using rig = new RelayRig({ hops: 0 });
    const lane = { address, port: stream.protocol === "esp" ? 0 : port };
    const sink = await Sink.start(rig, { lanes: [lane], numbers: 1000, how });
    await sendStream(rig, { packets: 1000, pps, ...stream }, signal);
    const { lanes } = await sink.settled(1000);
    expect(lanes).toMatchObject([{ received: 1000, unique: 1000, ...clean }]);
    const { first } = lanes[0] ?? {};
    expect(first).toMatchObject({
      vlan: stream.vlan ?? 0, dscp: stream.dscp ?? 0, ttl: stream.ttl ?? 64, source: stream.source ?? "10.0.1.1",
    }); // biome-ignore format: one list
  });

  test("tells groups and sources apart, and forgets when told to", async () => {
    using rig = new RelayRig({ hops: 0 });
    const lanes = [
      { address: "239.1.1.1", count: 4 },
      { stream: 1, address: "239.1.1.1", count: 2 },
      { stream: 1, address: "239.1.1.3", count: 2 },
    ];
    const sink = await Sink.start(rig, { lanes, numbers: 1000, how });
    for (let turn = 0; turn < 2; turn++) {
      await sendStream(rig, { packets: 1000, groups: 4, sources: 2, pps }, signal);
      const report = await sink.settled(1000);
      expect(report.lanes.map(({ unique, duplicate }) => [unique, duplicate])).toEqual([[1000, 0], [500, 0], [500, 0]]); // biome-ignore format: one list
      expect(report.lanes[0]?.first?.source).toBe("10.0.1.1");
      expect(report.lanes[1]?.first?.source).toBe("10.0.1.2");
      await sink.reset();
    }
  });
});

test("only the sink that reads every byte finds a turned bit, and it finds each", async () => {
  const stream = { corruptEvery: 777 };
  const { report } = await arrived("hash", stream);
  // A checksum catches every single bit, too.
  expect(report.lanes).toMatchObject([{ unique: packets, corrupt: 25, bad_checksum: 25, wrong_length: 0 }]);
  const unread = await arrived("xdp", stream);
  expect(unread.report.lanes).toMatchObject([{ unique: packets, corrupt: 0 }]);
});

test("a paced stream keeps its rate, and its packets' ages are measured", async () => {
  using rig = new RelayRig({ hops: 0 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 100_000, latency: true });
  const sent = await sendStream(rig, { packets: 100_000, pps: 100_000 }, signal);
  expect(sent.pps).toBeGreaterThan(50_000); // on a busy machine; alone, a thousandth below what was asked for
  expect(sent.pps).toBeLessThan(101_000);
  const { latency } = (await sink.settled(100_000)).lanes[0] ?? {};
  expect(latency?.samples).toBe(100_000);
  // A system call and a softirq: more than a tenth of a microsecond, and half of them less than a millisecond.
  expect(latency?.p50_ns).toBeGreaterThan(100);
  expect(latency?.p50_ns).toBeLessThan(1_000_000);
  expect(latency?.p99_ns).toBeGreaterThanOrEqual(latency?.p50_ns ?? 0);
});

test("what a device refuses is sent again or told, never forgotten", async () => {
  using rig = new RelayRig({ hops: 0 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 1 << 20 });
  // Its ring of 256 packets is worked off by a thread that gets the sender's core only when the sender does not want it.
  const [thread] = rig.steer({ node: "b", interface: "b0", how: "threaded", core: relayCores.sender });
  execFileSync("chrt", ["--idle", "--pid", "0", String(thread)]);
  const sent = await sendStream(rig, { packets: 100_000, retry: 0 }, signal);
  const { lanes } = await sink.settled(sent.numbers);
  expect(sent.refused).toBeGreaterThan(0);
  expect(sent.sent + sent.refused).toBe(100_000);
  expect(lanes).toMatchObject([{ unique: sent.sent, lost: sent.refused }]);
  // The kernel's own few packets (MLD, router solicitations) may be refused, too.
  const dropped = rig.statistic("a", "a1", "tx_dropped");
  expect(dropped).toBeGreaterThanOrEqual(sent.refused);
  expect(dropped).toBeLessThan(sent.refused + 30);
  execFileSync("chrt", ["--other", "--pid", "0", String(thread)]);
  await sink.reset();
  const again = await sendStream(rig, { packets: 100_000 }, signal);
  expect((await sink.settled(100_000)).lanes).toMatchObject([{ unique: 100_000, lost: 0 }]);
  expect(again).toMatchObject({ sent: 100_000, refused: 0 });
});

test("a relay between is a hop: the kernel's own multicast routing carries a stream through two of them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tapline-rig-"));
  try {
    using rig = new RelayRig({ hops: 2 });
    await relayPeer("smcroute").start(rig, folder, signal);
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    await sendStream(rig, { packets, pps: 20_000 }, signal);
    const { lanes } = await sink.settled(packets);
    expect(lanes).toMatchObject([{ unique: packets, ...clean, first: { ttl: 62, source: "10.0.1.1" } }]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("behind the snooping bridge comes only what was joined, and nothing any more when the last one has left", async () => {
  using rig = new RelayRig({ hops: 0, snooping: true });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 100_000 });
  const count = async (): Promise<number> => {
    await sink.reset();
    await sleep(100);
    return (await sink.report(0)).lanes[0]?.received ?? 0;
  };
  await sleep(1500); // until the querier is the querier
  using sender = startSending(rig, { seconds: 60, pps: 1000 });
  expect(await count()).toBe(0);
  const member = rig.start("b", ["socat", "-u", `UDP4-RECV:${port},ip-add-membership=${group}:b0`, "/dev/null"]);
  await sleep(300);
  expect(await count()).toBeGreaterThan(50);
  member.kill("SIGKILL");
  await member.ended;
  await sleep(300);
  expect(await count()).toBe(0);
  expect(sender.over).toBe(false);
});

test("a rig leaves nothing behind", () => {
  const namespaces = (): string[] =>
    execFileSync("ip", ["netns", "list"], { encoding: "utf8" })
      .split("\n")
      .filter((name) => name.includes(`bench-relay-${process.pid}-`));
  {
    using rig = new RelayRig({ hops: 3, snooping: true });
    expect(rig.relays).toEqual(["b", "c", "d"]);
    expect(namespaces()).toHaveLength(6);
  }
  expect(namespaces()).toEqual([]);
});
