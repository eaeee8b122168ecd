// What a planned relay leaves behind: everything while its plan has rules, for forwarding goes on without it; nothing once the fleet has said that there is nothing to
// relay. The fleet is a real NATS, the node a namespace.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { connect } from "nats";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RelayReport } from "#domain/relay-report.ts";
import { relayReportSubject } from "#domain/subjects.ts";
import { group, port, Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";
import { NatsServer } from "../bus/nats-server.ts";
import { PlanMaker } from "../bus/plan-maker.ts";

const { signal } = new AbortController();
let scratch: Scratch;
let outside: ChildProcess | undefined;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => {
  outside?.kill();
  scratch[Symbol.dispose]();
});

async function until(what: string, holds: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  for (const late = performance.now() + seconds * 1000; !(await holds()); await sleep(50))
    if (performance.now() > late) throw new Error(`not within ${seconds} s: ${what}`);
}

/** One for each engine; the second one's sources need the join-holder. */
const rules: RuleText[] = [
  { id: "x", engine: "XDP", from: { interface: "b0", group, port }, to: [{ interface: "b1" }] },
  { id: "t", engine: "TC", from: { interface: "b0", group: "239.1.1.2", port: 1, sources: ["10.0.1.1"] }, to: [{ interface: "b1" }] }, // biome-ignore format: one row
  { id: "u", engine: "AFPacket", from: { interface: "b0", group: "239.1.1.3", port: 1 }, to: [{ interface: "b1" }] },
];

test("with rules it leaves its programs, pins and plan; after an empty plan nothing, and the next one begins from nothing", async () => {
  using rig = new RelayRig({ hops: 1 });
  await Sink.start(rig, { lanes: [{ address: group }], numbers: 1000 }); // its XDP program lets b1 be sent to by XDP
  await using server = await NatsServer.start();
  // Through a socket file: namespaces do not share loopbacks.
  const path = join(scratch.path, "nats.sock");
  outside = spawn("socat", [`UNIX-LISTEN:${path},fork`, `TCP:${server.address}`]);
  rig.start("b", ["socat", "TCP-LISTEN:4222,fork,reuseaddr,bind=127.0.0.1", `UNIX-CONNECT:${path}`]);
  const place = { fleet: "prod", node: "b" };
  await using operator = await PlanMaker.open(server.url, place);
  const key = join(scratch.path, "operator.pem");
  writeFileSync(key, operator.publicPem);
  const watcher = await connect({ servers: server.url });
  let last: RelayReport | undefined;
  watcher.subscribe(relayReportSubject(place), { callback: (_, message) => (last = message.json()) });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal, {
    more: { nats: { fleet: "prod", plan: { publicKeyFile: key } } },
  });
  const took = (generation: number, count: number): Promise<void> =>
    until(`plan ${generation} runs`, () => last?.plan.generation === generation && last.totals.rules === count && last.totals.waiting === 0); // biome-ignore format: one call
  const attached = (): boolean => rig.said("b", "ip", "-details", "link", "show", "b0").includes("prog/xdp");
  const joined = (): boolean => /239\.1\.1\.[123]/.test(rig.said("b", "ip", "maddress", "show", "dev", "b0"));
  const holding = (): boolean => rig.said("b", "ss", "-xlH").includes(join(agent.folder, "run", "joins-1.sock"));
  const state = join(agent.folder, "state");
  const pins = join(agent.folder, "bpf", "tapline", "prod", "v1");
  const there = () => ({ attached: attached(), joined: joined(), holding: holding(), pins: existsSync(pins), plan: existsSync(join(state, "plan.json")) }); // biome-ignore format: one object
  const everything = { attached: true, joined: true, holding: true, pins: true, plan: true };
  const nothing = { attached: false, joined: false, holding: false, pins: false, plan: false };

  await operator.put({ generation: 5, rules });
  await took(5, 3);
  await until("groups are joined", () => joined() && holding());
  await agent.end("SIGTERM");
  expect(there()).toEqual(everything);

  last = undefined;
  await agent.startAgain(signal);
  await took(5, 3);
  await operator.put({ generation: 6, rules: [] });
  await took(6, 0);
  await agent.end("SIGTERM");
  await until("nothing is left", () => isDeepStrictEqual(there(), nothing));
  expect(readdirSync(state)).toEqual([]);
  expect(rig.said("b", "nft", "list", "tables")).toBe("");

  // It knows of no plan any more, and takes the one that there is.
  last = undefined;
  await agent.startAgain(signal);
  await took(6, 0);
  await operator.put({ generation: 7, rules });
  await took(7, 3);
  await until("groups are joined again", () => joined() && holding());
  await agent.end("SIGKILL");
  expect(there()).toEqual(everything);

  last = undefined;
  await agent.startAgain(signal);
  await took(7, 3);
  await operator.put({ generation: 8, rules: [] });
  await took(8, 0);
  await agent.end("SIGTERM");
  await until("nothing is left", () => isDeepStrictEqual(there(), nothing));
  await watcher.close();
}, 120_000);
