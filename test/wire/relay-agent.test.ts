// The relay's agent on a real wire: what was sent is in its rows, its report, its metrics, its log and its API; plans come over a real NATS; and it lives through what
// happens to agents.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "nats";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RelayReport, RuleDetail } from "#domain/relay-report.ts";
import { relayReportSubject } from "#domain/subjects.ts";
import { group, port, sendStream, Sink, startSending } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, tapline, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";
import { NatsServer } from "../bus/nats-server.ts";
import { PlanMaker } from "../bus/plan-maker.ts";

const { signal } = new AbortController();
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const rule = (more: RuleText = {}): RuleText => ({
  id: "feed",
  from: { interface: "b0", group, port },
  to: [{ id: "out", interface: "b1" }],
  ...more,
});

interface Line {
  readonly message: string;
  readonly [key: string]: unknown;
}
const linesOf = (agent: RelayAgent): Line[] =>
  agent.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line);
async function until(what: string, holds: () => boolean | Promise<boolean>, seconds = 15): Promise<void> {
  for (const late = performance.now() + seconds * 1000; !(await holds()); await sleep(50))
    if (performance.now() > late) throw new Error(`not within ${seconds} s: ${what}`);
}
const stats = async (agent: RelayAgent): Promise<RuleDetail[]> =>
  ((await agent.ask({ do: "stats" })) as { rules: RuleDetail[] }).rules;
const fetched = (rig: RelayRig, url: string): string => rig.said("b", "curl", "-sf", "--max-time", "5", url);
const report = (rig: RelayRig): RelayReport => JSON.parse(fetched(rig, "http://127.0.0.1:3002/api/v1/report")) as RelayReport; // biome-ignore format: one line
const metric = (rig: RelayRig, line: string): number => {
  const found = fetched(rig, "http://127.0.0.1:9465/metrics").split("\n").find((one) => one.startsWith(`${line} `)); // biome-ignore format: one line
  return Number(found?.slice(line.length + 1) ?? Number.NaN);
};
const conditions = (rig: RelayRig): string[] => report(rig).conditions.map(({ code }) => code);

describe("a relay", { timeout: 120_000 }, () => {
  test("tells the same of what it carried by socket, API, report, metrics and log; and goes on counting where a killed one ended", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 1_000_000 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal, { more: { log: { format: "json" } } });
    await agent.load([rule()], signal);
    const sent = await sendStream(rig, { packets: 20_000, pps: 20_000 }, signal);
    await sink.settled(sent.numbers);
    await until("it is told", async () => (await stats(agent))[0]?.packets_relayed === sent.sent);
    const [row] = await stats(agent);
    expect(row).toMatchObject({ id: "feed", state: "active", input_group: group, input_port: port, matched: sent.sent, dropped: {}, refused: {} }); // biome-ignore format: one row
    expect(row?.outputs).toMatchObject([{ id: "out", wanted: sent.sent, packets_relayed: sent.sent, residue: 0, input_group: group, input_port: port }]); // biome-ignore format: one row
    expect(JSON.parse(fetched(rig, "http://127.0.0.1:3002/api/v1/rules/feed"))).toMatchObject({ matched: sent.sent });
    expect(JSON.parse(fetched(rig, "http://127.0.0.1:3002/api/v1/rules"))).toMatchObject({ count: 1, rules: [{ id: "feed" }] }); // biome-ignore format: one row
    expect(report(rig).totals).toMatchObject({ rules: 1, active: 1, matched: sent.sent, sent: sent.sent, dropped: {} });
    expect(metric(rig, 'tapline_relay_rule_sent_packets_total{rule="feed"}')).toBe(sent.sent);
    const line = linesOf(agent).findLast(({ message }) => message === "[STATS:Egress]");
    expect(line).toMatchObject({ facility: "stats", sent: sent.sent, errors: 0, buf_exhaust: 0 });
    expect(linesOf(agent).some((one) => one.message === "[STATS:Ingress]" && Number(one["recv_per_second"]) > 1000)).toBe(true); // biome-ignore format: one line
    expect(fetched(rig, "http://127.0.0.1:9465/readyz")).toBe("ok\n");

    await agent.end("SIGKILL");
    const more = await sendStream(rig, { packets: 5000, pps: 20_000 }, signal);
    await agent.startAgain(signal);
    await until("it knows", async () => (await stats(agent))[0]?.packets_relayed === sent.sent + more.sent);
    // Counted from the engines' own counts, not from nothing.
    await until("metrics", () => metric(rig, 'tapline_relay_rule_sent_packets_total{rule="feed"}') === sent.sent + more.sent); // biome-ignore format: one line
    expect((await stats(agent))[0]?.packets_per_second).toBe(0);
    await agent.end("SIGTERM");
  });

  test("a trace shows the next packets with the verdict of each", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load([rule({ engine: "TC", to: [{ id: "out", interface: "b1" }, { id: "gone", interface: "b9" }] })], signal); // biome-ignore format: one rule
    const sender = startSending(rig, { seconds: 20, pps: 1000 });
    await sleep(300);
    const traced = agent.rules("trace", "feed", "--packets", "5", "--json").trim().split("\n").map((one) => JSON.parse(one) as unknown); // biome-ignore format: one line
    sender.kill("SIGINT");
    await sender.ended;
    expect(traced).toHaveLength(5);
    expect(traced[0]).toMatchObject({ rule: "feed", source: "10.0.1.1", verdict: "partial", outputs: [{ id: "out", verdict: "sent" }, { id: "gone", verdict: "interface" }] }); // biome-ignore format: one row
    await agent.end("SIGTERM");
  });

  test("interfaces that come later are taken up, and those that vanish are told", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    const late = rule({ id: "late", from: { interface: "late", group: "239.1.9.9", port: 1 } });
    await agent.load([rule(), late], signal);
    await until("waiting is told", () => conditions(rig).includes("RELAY_WAITING"));
    expect(JSON.parse(fetched(rig, "http://127.0.0.1:3002/api/v1/rules?state=waiting"))).toMatchObject({ total: 1, rules: [{ id: "late", why: "late is not there" }] }); // biome-ignore format: one row
    rig.said("b", "ip", "link", "add", "late", "type", "veth", "peer", "name", "other");
    for (const name of ["late", "other"]) rig.said("b", "ip", "link", "set", name, "up");
    await until("it is programmed", async () => (await stats(agent)).every(({ state }) => state === "active"));
    await until("the condition is over", () => !conditions(rig).includes("RELAY_WAITING"));
    // The group is joined there, and no more when the rule goes.
    const joined = (): boolean => rig.said("b", "ip", "maddress", "show", "dev", "late").includes("239.1.9.9");
    await until("joined", joined);
    agent.rules("remove", "late");
    await until("left", () => !joined());
    rig.said("b", "ip", "link", "set", "b1", "down");
    await until("down is told", () => conditions(rig).includes("RELAY_OUTPUT_UNREADY"));
    const sent = await sendStream(rig, { packets: 100, pps: 1000 }, signal);
    await until("drops are told", () => conditions(rig).includes("RELAY_DROPPING"));
    expect((await stats(agent)).find(({ id }) => id === "feed")).toMatchObject({ state: "partial", dropped: { interface: sent.sent } }); // biome-ignore format: one row
    await agent.end("SIGTERM");
  });

  test("a group whose packets have a tag is not asked for without it: what is missing is told", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    const tagged = rule({ id: "tagged", from: { interface: "b0", group: "239.1.1.7", port, vlan: 7 } });
    await agent.load([rule(), tagged], signal);
    const told = () => report(rig).conditions.filter(({ code }) => code === "RELAY_MEMBERSHIP_FAILED");
    await until("it is told", () => told().length === 1);
    expect(told()[0]?.message).toMatch(/239\.1\.1\.7 could not be joined on b0, VLAN 7: .*ip link add link b0 name b0\.7 type vlan id 7/); // biome-ignore format: one row
    expect(rig.said("b", "ip", "maddress", "show", "dev", "b0")).toContain(group);
    expect(rig.said("b", "ip", "maddress", "show", "dev", "b0")).not.toContain("239.1.1.7");
    agent.rules("remove", "tagged");
    await until("it is over", () => told().length === 0);
    await agent.end("SIGTERM");
  });

  test("a bad change, a bad file, half a question disturb nothing of what runs", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 1_000_000 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load([rule()], signal);
    const sender = startSending(rig, { seconds: 60, pps: 20_000 });
    for (let i = 0; i < 20; i++) {
      await expect(agent.ask({ do: "load", rules: [rule(), { id: "x" }], replace: true })).rejects.toMatchObject({ code: "RELAY_RULES_INVALID" }); // biome-ignore format: one row
      await expect(agent.ask({ do: "add", rules: [rule({ id: "same" })] })).rejects.toMatchObject({ code: "RELAY_RULES_INVALID" }); // biome-ignore format: one row
      spawnSync("socat", ["-t", "0.1", "-", `UNIX-CONNECT:${agent.socket}`], { input: '{"do":"lo' });
    }
    sender.kill("SIGINT");
    await sender.ended;
    const sent = JSON.parse(sender.stdout) as { numbers: number; refused: number; sent: number };
    const { lanes } = await sink.settled(sent.numbers);
    expect(lanes[0]).toMatchObject({ duplicate: 0 });
    expect((lanes[0]?.lost ?? 0) - sent.refused).toBe(0);
    await agent.end("SIGTERM");
  });

  test("answers within 50 ms while packets come at full rate", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    const many = Array.from({ length: 1000 }, (_, i) => rule({ id: `r${i}`, from: { interface: "b0", group: `239.7.${i >> 8}.${i & 255}`, port: 1 } })); // biome-ignore format: one list
    await agent.load([rule(), ...many], signal);
    const sender = startSending(rig, { seconds: 60 });
    await sleep(1000);
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      const since = performance.now();
      await agent.ask({ do: "ping" });
      times.push(performance.now() - since);
      await sleep(37);
    }
    sender.kill("SIGINT");
    await sender.ended;
    times.sort((a, b) => a - b);
    const [median = 0, most = 0] = [times[50], times[97]];
    console.log(`control socket under load: median ${median.toFixed(1)} ms, 98 of 100 within ${most.toFixed(1)} ms`);
    expect(most).toBeLessThan(50);
    await agent.end("SIGTERM");
  });

  test("without a BPF file system it works and says what is lost; without CAP_BPF it relays in user space and says so", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 1_000_000 });
    const folder = join(scratch.path, "plain");
    mkdirSync(folder);
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal, { more: { engines: { bpffs: folder } } });
    await agent.load([rule()], signal);
    const sent = await sendStream(rig, { packets: 1000, pps: 10_000 }, signal);
    await sink.settled(sent.numbers);
    await until("it is said", () => conditions(rig).includes("RELAY_NOT_PINNED"));
    await until("it is told", async () => (await stats(agent))[0]?.packets_relayed === sent.sent);
    await agent.end("SIGTERM");

    for (const [word, lost] of [
      ["CAP_BPF", "-bpf,-sys_admin,-perfmon"],
      ["CAP_PERFMON", "-sys_admin,-perfmon"],
    ] as const) {
      // biome-ignore format: one list
      writeFileSync(join(scratch.path, `${word}.yaml`), JSON.stringify({ name: "b", state: { path: join(scratch.path, word) }, control: { socket: join(scratch.path, `${word}.sock`) } })); // biome-ignore format: one row
      const drop = ["setpriv", `--inh-caps=${lost}`, `--bounding-set=${lost}`];
      const weak = rig.start("b", [...drop, tapline, "relay", "--config", join(scratch.path, `${word}.yaml`)]);
      const ask = (...words: string[]) => spawnSync(tapline, ["rules", ...words, "--socket", join(scratch.path, `${word}.sock`)], { encoding: "utf8" }); // biome-ignore format: one line
      await until("it answers", () => ask("ping").status === 0);
      expect(ask("add", "--id", "feed", "--from", `b0,${group}:${port}`, "--to", "b1").stderr).toBe("");
      expect(ask("list").stdout).toMatch(/feed .* afpacket +active +not in the kernel: /);
      expect(ask("list").stdout).toContain(word);
      await until("its worker runs", () => ask("workers").stdout.includes("running"));
      const again = await sendStream(rig, { packets: 1000, pps: 10_000 }, signal);
      await until("relayed", () => (JSON.parse(ask("stats", "--json").stdout) as { rules: RuleDetail[] }).rules[0]?.packets_relayed === again.sent); // biome-ignore format: one line
      weak.kill("SIGTERM");
      await weak.ended;
      rig.said("b", tapline, "relay", "--config", join(scratch.path, `${word}.yaml`), "--uninstall");
    }
  });

  test("somebody else's XDP program stays, and the fallback is said", async () => {
    using rig = new RelayRig({ hops: 1 });
    const object = join(scratch.path, "pass.o");
    const source = '#include <linux/bpf.h>\n__attribute__((section("xdp"), used)) int pass(struct xdp_md *c) { return XDP_PASS; }\n';
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-x", "c", "-", "-c", "-o", object, "-I/usr/include/x86_64-linux-gnu"], { input: source }); // biome-ignore format: one command
    rig.said("b", "ip", "link", "set", "b0", "xdp", "obj", object, "sec", "xdp");
    const shown = (): string => rig.said("b", "ip", "link", "show", "b0");
    const before = /prog\/xdp id (\d+)/.exec(shown())?.[1];
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load([rule()], signal);
    expect(agent.rules("list")).toMatch(/feed .* tc +active +not XDP: b0 has an XDP program of somebody else/);
    await until("it is said", () => conditions(rig).includes("RELAY_FOREIGN_PROGRAM"));
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 100_000 });
    const sent = await sendStream(rig, { packets: 1000, pps: 10_000 }, signal);
    expect((await sink.settled(sent.numbers)).lanes[0]).toMatchObject({ lost: 0, duplicate: 0 });
    expect(/prog\/xdp id (\d+)/.exec(shown())?.[1]).toBe(before);
    await agent.end("SIGTERM");
  }); // biome-ignore format: a story

  test("workers run on the CPUs that they are given, one each in turn, and find theirs again", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal, {
      more: { engines: { allow: ["AFPacket"], workerCpus: "0-1" } },
    });
    const back = rule({ id: "back", from: { interface: "b1", group: "239.9.9.9", port }, to: [{ interface: "b0" }] });
    await agent.load([rule(), back], signal);
    const workers = async (): Promise<{ pid: number; restarts: number }[]> =>
      ((await agent.ask({ do: "workers" })) as { workers: { pid: number; restarts: number }[] }).workers;
    /** Of the thread that carries packets, which is beside the main one, once it is there. */
    const cpu = (pid: number): string | undefined => {
      const tasks = `/proc/${pid}/task`;
      const thread = existsSync(tasks) ? readdirSync(tasks).find((one) => Number(one) !== pid) : undefined;
      if (thread === undefined) return undefined;
      return /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(`${tasks}/${thread}/status`, "utf8"))?.[1];
    };
    const places = async (): Promise<string> => (await workers()).map(({ pid }) => cpu(pid)).join();
    await until("each has its CPU", async () => /^\d,\d$/.test(await places()));
    const before = await places();
    expect(["0,1", "1,0"]).toContain(before);
    process.kill((await workers())[0]?.pid ?? 0, "SIGKILL");
    await until("it is started again", async () => (await workers())[0]?.restarts === 1);
    await until("it has a CPU", async () => /^\d,\d$/.test(await places()));
    expect(await places()).toBe(before);
    await agent.end("SIGTERM");
  });

  test("--uninstall leaves no program, pin, worker or membership; while it runs it is refused", async () => {
    using rig = new RelayRig({ hops: 1 });
    await Sink.start(rig, { lanes: [{ address: group }], numbers: 1000 }); // its XDP program lets b1 be sent to by XDP
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load([rule({ engine: "XDP" }), rule({ id: "t", engine: "TC", from: { interface: "b0", group: "239.1.1.2", port: 1, sources: ["10.0.1.1"] } }), rule({ id: "u", engine: "AFPacket", from: { interface: "b0", group: "239.1.1.3", port: 1 } })], signal); // biome-ignore format: one list
    const config = join(agent.folder, "relay.yaml");
    const uninstall = () => spawnSync("ip", ["netns", "exec", rig.namespace("b"), tapline, "relay", "--config", config, "--uninstall"], { encoding: "utf8" }); // biome-ignore format: one command
    expect(uninstall()).toMatchObject({ status: 1, stderr: expect.stringContaining("RELAY_SOCKET_TAKEN") as string });
    await agent.end("SIGTERM");
    const attached = (): string => rig.said("b", "ip", "-details", "link", "show", "b0");
    const groups = (): string => rig.said("b", "ip", "maddress", "show", "dev", "b0");
    const running = (): boolean => rig.said("b", "ss", "-xlH").includes(join(agent.folder, "run", "joins-1.sock"));
    expect(running()).toBe(true);
    expect(attached()).toContain("xdp");
    const pins = join(agent.folder, "bpf", "tapline", "default", "v1");
    expect(existsSync(pins)).toBe(true);
    expect(groups()).toContain("239.1.1.2");
    expect(uninstall()).toMatchObject({ status: 0, stderr: "" });
    expect(attached()).not.toContain("xdp");
    expect(existsSync(pins)).toBe(false);
    await until("left", () => !/239\.1\.1\.[23]/.test(groups()));
    expect(running()).toBe(false);
    expect(uninstall()).toMatchObject({ status: 0 });
  });
});

test("a plan over NATS is taken, acknowledged, kept, and applied at the next start without NATS; an older one is refused", async () => {
  using rig = new RelayRig({ hops: 1 });
  await using server = await NatsServer.start();
  // Through a socket file: namespaces do not share loopbacks.
  const path = join(scratch.path, "nats.sock");
  const bridge = rig.start("b", ["socat", `TCP-LISTEN:4222,fork,reuseaddr,bind=127.0.0.1`, `UNIX-CONNECT:${path}`]);
  const { spawn } = await import("node:child_process");
  const outside = spawn("socat", [`UNIX-LISTEN:${path},fork`, `TCP:${server.address}`]);
  const place = { fleet: "prod", node: "b" };
  await using operator = await PlanMaker.open(server.url, place);
  const key = join(scratch.path, "operator.pem");
  writeFileSync(key, operator.publicPem);
  const watcher = await connect({ servers: server.url });
  const reports: RelayReport[] = [];
  watcher.subscribe(relayReportSubject(place), { callback: (_, message) => void reports.push(message.json()) });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal, {
    more: { nats: { fleet: "prod", plan: { publicKeyFile: key } } },
  });
  await expect(agent.ask({ do: "add", rules: [rule()] })).rejects.toMatchObject({ code: "RELAY_PLANNED" });
  await operator.put({ generation: 5, rules: [rule()] });
  await until("it is acknowledged", () => reports.at(-1)?.plan.generation === 5);
  expect(reports.at(-1)).toMatchObject({ plan: { state: "applied" }, totals: { rules: 1, active: 1 } });
  expect(reports.flatMap(({ rules }) => rules.map(({ id }) => id))).toContain("feed");
  await operator.put({ generation: 4, rules: [] });
  await until("it is refused", () => reports.at(-1)?.plan.state === "refused");
  expect(reports.at(-1)).toMatchObject({ plan: { generation: 5 }, totals: { rules: 1 } });
  await operator.put({ generation: 6, rules: [rule(), { id: "bad" }] });
  await until("an unsound one, too", () => reports.at(-1)?.conditions.some(({ message }) => message.includes("plan 6 was refused")) === true); // biome-ignore format: one line
  await operator.put({
    generation: 7,
    rules: [rule(), rule({ id: "second", from: { interface: "b0", group: "239.1.1.2", port: 1 } })],
  });
  await until("the next one is taken", () => reports.at(-1)?.plan.generation === 7);
  await until("all is well", () => reports.at(-1)?.conditions.length === 0);
  await operator.takeAway();
  await server.down();
  await agent.end("SIGKILL");
  await agent.startAgain(signal);
  const { rules } = (await agent.ask({ do: "list" })) as { rules: { id: string; standing: object }[] };
  expect(rules.map(({ id, standing }) => ({ id, ...standing }))).toMatchObject([{ id: "feed", state: "active" }, { id: "second", state: "active" }]); // biome-ignore format: one row
  expect(readFileSync(join(agent.folder, "state", "plan.json"), "utf8")).toContain('"generation":7');
  await agent.end("SIGTERM");
  bridge.kill("SIGTERM");
  outside.kill();
  await watcher.close();
}, 120_000);
