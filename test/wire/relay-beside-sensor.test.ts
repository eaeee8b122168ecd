// A sensor and a relay on one interface, as both run on a node: the sensor sees every packet that the relay carries away, and the relay keeps XDP, which would hide them,
// off the interface by itself.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { group, port, sendStream, Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, tapline } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";

const { signal } = new AbortController();
const packets = 100_000;
const pps = 50_000;

interface Seen {
  readonly interfaces: readonly { readonly seen: number; readonly ring_drops: number; readonly delivered: number; readonly residue: number }[]; // biome-ignore format: one row
}
interface Listed {
  readonly rules: readonly { readonly id: string; readonly standing: { readonly engine: string; readonly why: string } }[]; // biome-ignore format: one row
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const late = performance.now() + 15_000; !(await holds()); await sleep(50))
    if (performance.now() > late) throw new Error(`not within 15 s: ${what}`);
}

/** Of what the relay is sent, nothing else, so that the counts are exact. */
function startSensor(rig: RelayRig, folder: string) {
  const path = join(folder, "sensor.yaml");
  const capture = { ring: { blockKiB: 256, blocks: 128, retireMs: 4 }, filter: `udp port ${port}` };
  const config = { name: "b", interfaces: [{ name: "b0" }], capture, store: { path: join(folder, "sensor.db") }, log: { format: "json" } }; // biome-ignore format: one object
  writeFileSync(path, JSON.stringify(config)); // JSON is YAML
  return rig.start("b", [tapline, "sensor", "--config", path]);
}
/** Nothing while nobody answers. */
const asked = (rig: RelayRig, url: string): string => rig.said("b", "sh", "-c", `curl -s --max-time 5 ${url} || true`);

test.each(["tc", "tc asked for", "user space"] as const)(
  "by %s: both count every packet",
  { timeout: 120_000 },
  async (how) => {
    using scratch = new Scratch();
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    const sensor = startSensor(rig, scratch.path);
    await until("the sensor watches", () => sensor.over || asked(rig, "http://127.0.0.1:9464/readyz") === "ok\n");
    if (sensor.over) throw sensor.failure("it ended");
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    const engine = { tc: "Auto", "tc asked for": "TC", "user space": "AFPacket" }[how];
    const rule = (id: string) => ({ id, engine, from: { interface: "b0", group, port }, to: [{ id: "out", interface: "b1" }] }); // biome-ignore format: one row
    await agent.load([rule("feed")], signal);
    const standing = async () => ((await agent.ask({ do: "list" })) as Listed).rules[0]?.standing;
    // Everything else here would be XDP's: one output, native drivers, a far end that takes frames.
    if (how === "tc")
    expect(await standing()).toMatchObject({ engine: "tc", why: expect.stringContaining("somebody captures on b0") as string }); // biome-ignore format: one row

    const sent = await sendStream(rig, { packets, pps }, signal);
    expect((await sink.settled(sent.numbers)).lanes).toMatchObject([{ unique: sent.sent, lost: sent.refused, duplicate: 0 }]); // biome-ignore format: one row
    const { totals } = await agent.settled(signal);
    expect(totals).toMatchObject({ matched: sent.sent, sent: sent.sent, dropped: {} });
    const seen = () => (JSON.parse(asked(rig, "http://127.0.0.1:3001/api/v1/ledger")) as Seen).interfaces[0];
    await until("the sensor has counted them", () => (seen()?.seen ?? 0) >= sent.sent && seen()?.residue === 0);
    expect(seen()).toMatchObject({ seen: sent.sent, ring_drops: 0, delivered: sent.sent });

    sensor.kill("SIGTERM");
    await sensor.ended;
    if (how === "tc") {
      // A rule stays where it is; one that comes now finds nobody watching.
      expect(await standing()).toMatchObject({ engine: "tc" });
      await agent.load([rule("another")], signal);
      expect(await standing()).toMatchObject({ engine: "xdp" });
      // Who comes later does not move it, and what he misses is told.
      const hiding = () => asked(rig, "http://127.0.0.1:3002/api/v1/report").includes("RELAY_HIDES_PACKETS");
      expect(hiding()).toBe(false);
      const late = startSensor(rig, scratch.path);
      await until("it is told", hiding);
      expect(await standing()).toMatchObject({ engine: "xdp" });
      late.kill("SIGTERM");
      await late.ended;
      await until("it is over", () => !hiding());
    }
    await agent.end("SIGTERM");
  },
);
