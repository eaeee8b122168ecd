// The relay and its rules as a person types them: a real relay, whose rules wait for interfaces that this machine does not have.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { describe, expect, test } from "vitest";
import { inputWords, outputWords } from "./rule-words.ts";
import { type Ended, folder, type Folder } from "./typed.ts";

const node = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));
const main = fileURLToPath(new URL("main.ts", import.meta.url));

/** A relay in a folder of its own, asked over its own socket. */
class Relay implements AsyncDisposable {
  readonly #child: ChildProcess;
  stderr = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
  }
  static async start(desk: Folder, more: object = {}): Promise<Relay> {
    writeFileSync(desk.path("relay.yaml"), stringify({ name: "node-1", state: { path: desk.path("state") }, control: { socket: desk.path("control.sock") }, engines: { pin: false }, api: { port: 0 }, metrics: { port: 0 }, log: { format: "json" }, ...more })); // biome-ignore format: one configuration
    const relay = new Relay(spawn(node, [main, "relay", "--config", desk.path("relay.yaml")], { stdio: ["ignore", "ignore", "pipe"] })); // biome-ignore format: one command
    for (let i = 0; i < 400 && !relay.said("began to relay"); i++) {
      if (relay.#child.exitCode !== null) break;
      await sleep(25);
    }
    return relay;
  }
  get log(): { message: string; code?: string; [key: string]: unknown }[] {
    return this.stderr.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as never); // biome-ignore format: one line
  }
  said(message: string): boolean {
    return this.log.some((line) => line.message === message);
  }
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    const [code] = (await exit) as [number | null];
    return code;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}

const rules = (desk: Folder, ...words: string[]): Promise<Ended> =>
  desk.tapline(["rules", ...words, ...(words[0] === "check" ? [] : ["--socket", desk.path("control.sock")])]);
const json = async (desk: Folder, ...words: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await rules(desk, ...words, "--json");
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};

test.each([
  ["eth0,239.1.1.1:5000", { interface: "eth0", group: "239.1.1.1", port: 5000 }],
  ["eth0,10.0.0.1:5000,vlan=10", { interface: "eth0", address: "10.0.0.1", port: 5000, vlan: 10 }],
  ["eth0,[ff05::1]:5000,source=2001:db8::1,source=2001:db8::2", { interface: "eth0", group: "ff05::1", port: 5000, sources: ["2001:db8::1", "2001:db8::2"] }],
  ["eth0,ff05::1,protocol=esp", { interface: "eth0", group: "ff05::1", protocol: "ESP" }],
])("--from %s", (typed, meant) => expect(inputWords(typed)).toEqual(meant)); // biome-ignore format: a table

test.each([
  ["eth1", { interface: "eth1" }],
  ["eth1,239.2.2.2:5001,ttl=8,dscp=46,source=10.0.0.2,id=a", { interface: "eth1", group: "239.2.2.2", port: 5001, ttl: 8, dscp: 46, source: "10.0.0.2", id: "a" }],
  ["eth1,ttl=8", { interface: "eth1", ttl: 8 }],
])("--to %s", (typed, meant) => expect(outputWords(typed)).toEqual(meant)); // biome-ignore format: a table

test("what is not understood names what was meant", () => {
  expect(() => outputWords("eth1,239.2.2.2,tll=3")).toThrow(/did you mean ttl=/);
  expect(() => inputWords("eth0")).toThrow(/--from needs an interface/);
});

describe("a relay", { timeout: 60_000 }, () => {
  test("is told and asked everything over its socket, and keeps what it was told", async () => {
    using desk = folder();
    await using relay = await Relay.start(desk);
    expect((await rules(desk, "ping")).stdout).toMatch(/the relay answered in [\d.]+ ms/);
    expect(await rules(desk, "list")).toMatchObject({ code: 0, stdout: expect.stringContaining("There are no rules") });
    const added = await rules(desk, "add", "--id", "feed-a", "--name", "Feed A", "--from", "absent0,239.1.1.1:5000,vlan=7,source=10.0.0.1", "--to", "absent1,239.2.2.2:5001,ttl=8,dscp=46,source=10.0.0.2", "--to", "absent2", "--engine", "TC", "--limit", "1000"); // biome-ignore format: one command
    expect(added).toMatchObject({ code: 0, stdout: "1 added, 0 changed, 0 removed: 1 rule\n" });
    const listed = await rules(desk, "list");
    expect(listed.stdout).toMatch(/feed-a +absent0@7\/239\.1\.1\.1:5000@10\.0\.0\.1 .* waiting +absent0 is not there/);
    await sleep(1100);
    expect(await json(desk, "stats")).toMatchObject({
      rules: [{ id: "feed-a", name: "Feed A", state: "waiting", input_group: "239.1.1.1", input_port: 5000, input_vlan: 7, packets_relayed: 0, bytes_relayed: 0, packets_per_second: 0, bits_per_second: 0, outputs: [{ id: "absent1/239.2.2.2:5001", input_group: "239.1.1.1", problem: "absent1 is not there" }, { id: "absent2/239.1.1.1:5000" }] }],
    }); // biome-ignore format: one row
    expect((await rules(desk, "stats", "feed-b")).stderr).toMatch(/no rule feed-b \(RELAY_RULE_UNKNOWN\)\n.*did you mean feed-a\?/); // biome-ignore format: one row
    expect(await json(desk, "version")).toMatchObject({ version: "0.1.0" });
    expect(await json(desk, "config", "show")).toMatchObject({ name: "node-1", engines: { pin: false } });
    expect(await json(desk, "workers")).toMatchObject({ workers: [] });
    expect((await rules(desk, "log-level", "set", "debug", "--facility", "relay")).stdout).toMatch(/relay +debug/);
    expect(await json(desk, "log-level", "get")).toMatchObject({ level: "info", facilities: { relay: "debug", stats: "info" } }); // biome-ignore format: one row
    expect((await rules(desk, "log-level", "set", "loud")).stderr).toMatch(/level: must be debug, info/);
    expect((await rules(desk, "trace", "feed-a", "--seconds", "200ms")).stdout).toBe("0 packets in 0.2 s\n");
    expect(await rules(desk, "save", "saved.json")).toMatchObject({ code: 0, stdout: "1 rule saved in saved.json\n" });
    expect(await rules(desk, "remove", "feed-a")).toMatchObject({ code: 0 });
    expect(await rules(desk, "load", "saved.json")).toMatchObject({ code: 0 });
    const saved = readFileSync(desk.path("saved.json"), "utf8");
    await rules(desk, "save", "again.json");
    expect(readFileSync(desk.path("again.json"), "utf8")).toBe(saved);
    expect(JSON.parse(saved)).toMatchObject({ rules: [{ id: "feed-a", name: "Feed A", engine: "TC", limit: { pps: 1000 }, from: { vlan: 7, sources: ["10.0.0.1"] }, to: [{ ttl: 8, dscp: 46, source: "10.0.0.2" }, {}] }] }); // biome-ignore format: one row

    // Killed and started again it has the same rules.
    await relay.end("SIGKILL");
    await using next = await Relay.start(desk);
    await rules(desk, "save", "after.json");
    expect(readFileSync(desk.path("after.json"), "utf8")).toBe(saved);
    expect(next.log).toContainEqual(expect.objectContaining({ message: "took the rules that were kept", rules: 1 }));
    expect(await next.end()).toBe(0);
    expect(next.log.filter(({ message }) => message === "[STATS:Ingress]").at(-1)).toMatchObject({ facility: "stats", recv: 0, matched: 0, errors: 0, buf_exhaust: 0, recv_per_second: 0 }); // biome-ignore format: one row
  });

  test("bad input is refused whole, with its place and what was meant", async () => {
    using desk = folder();
    await using relay = await Relay.start(desk);
    const good = { id: "good", from: { interface: "absent0", group: "239.1.1.1", port: 1 }, to: [{ interface: "absent1" }] }; // biome-ignore format: one rule
    const load = async (file: string, text: string, ...more: string[]): Promise<string> => {
      writeFileSync(desk.path(file), text);
      const { code, stderr } = await rules(desk, "load", file, ...more);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await load("a.yaml", `rules:\n  - from: {interface: eth0, group: 10.0.0.1, port: 1}\n    to:\n      - {interface: eth1, tll: 3}\n`)).toMatch(/a\.yaml has 2 problems:[\s\S]*a\.yaml:2:\d+: rules\[0\]\.from\.group: must be a multicast group[\s\S]*a\.yaml:4:\d+: rules\[0\]\.to\[0\]\.tll: .*did you mean ttl\?/); // biome-ignore format: one row
    expect(await load("b.json", '{"rules": [')).toMatch(/b\.json has 1 problem/);
    expect(await load("c.json", '{"rule": []}')).toMatch(/rules: is required/);
    expect(await load("d.json", JSON.stringify({ rules: Array.from({ length: 10_001 }, () => good) }))).toMatch(/has 10001 rules: a relay takes at most 10000/); // biome-ignore format: one row
    expect(await load("e.json", JSON.stringify({ rules: [good, { ...good, id: "other" }] }))).toMatch(/rule other: takes the same packets as good/); // biome-ignore format: one row
    expect((await rules(desk, "load", "absent.yaml")).stderr).toMatch(/absent\.yaml does not exist/);
    expect(await json(desk, "list")).toEqual({ rules: [] });
    writeFileSync(desk.path("ok.json"), JSON.stringify({ rules: [good] }));
    expect(await json(desk, "load", "ok.json", "--replace")).toMatchObject({ added: 1, rules: 1 });
    // Another relay on the same socket does not start, and the first one goes on.
    const { code, stderr } = await desk.tapline(["relay", "--config", "relay.yaml"]);
    expect([code, stderr]).toMatchObject([1, expect.stringMatching(/another relay answers at .*RELAY_SOCKET_TAKEN/s)]);
    expect((await rules(desk, "ping")).code).toBe(0);
    expect(await relay.end()).toBe(0);
    expect((await rules(desk, "ping")).stderr).toMatch(/no relay answers at .* \(RELAY_NOT_RUNNING\)/);
  });

  test("rules that were damaged on disk are kept aside, the last good ones are used, and that stands as a condition", async () => {
    using desk = folder();
    await using relay = await Relay.start(desk);
    await rules(desk, "add", "--id", "a", "--from", "absent0,239.1.1.1:1", "--to", "absent1");
    await rules(desk, "add", "--id", "b", "--from", "absent0,239.1.1.1:2", "--to", "absent1");
    await relay.end("SIGKILL");
    writeFileSync(desk.path("state/rules.json"), '{"v":1,"rules":[{');
    await using next = await Relay.start(desk);
    expect(await json(desk, "list")).toMatchObject({ rules: [{ id: "a" }] });
    for (let i = 0; i < 100 && !next.said("raised a condition"); i++) await sleep(50);
    expect(next.log).toContainEqual(expect.objectContaining({ message: "raised a condition", code: "RELAY_STATE_DAMAGED" })); // biome-ignore format: one row
  });

  test("a configuration is checked without starting; files of rules without a relay", async () => {
    using desk = folder();
    writeFileSync(desk.path("relay.yaml"), "contrl: {}\n");
    expect((await desk.tapline(["relay", "--config", "relay.yaml", "--check"])).stderr).toMatch(/relay\.yaml:1:1: contrl: .*did you mean control\?/); // biome-ignore format: one row
    const key = "00".repeat(16);
    const hop = (out: number, back: number): string =>
      stringify({ rules: [
        { id: "out", from: { interface: "lan", group: "239.1.1.1", port: 1 }, to: [{ tunnel: { path: out, key, to: "10.0.0.9" } }] },
        { id: "back", from: { tunnel: { path: back, key, peers: ["10.0.0.9"] } }, to: [{ interface: "lan", group: "239.1.1.1", port: 1 }] },
      ] }); // biome-ignore format: one file
    writeFileSync(desk.path("a.yaml"), hop(1, 2));
    writeFileSync(desk.path("b.yaml"), hop(2, 1));
    expect(await rules(desk, "check", "a.yaml")).toMatchObject({ code: 0, stdout: expect.stringMatching(/2 rules with 2 outputs are sound/) }); // biome-ignore format: one row
    const { code, stderr } = await rules(desk, "check", "a.yaml", "b.yaml");
    expect([code, stderr]).toMatchObject([1, expect.stringMatching(/is in a loop.*a: out → b: back → b: out → a: back → a: out/)]); // biome-ignore format: one row
  });
});
