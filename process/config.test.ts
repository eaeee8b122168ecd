import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import { relayConfig } from "#domain/relay-config.ts";
import { sensorConfig } from "#domain/sensor-config.ts";
import { configChanges } from "./config-changes.ts";
import { loadConfig, parseConfig } from "./config.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-config-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "sensor.yaml");

const load = async (text: string | Uint8Array) => {
  writeFileSync(file, text);
  return await loadConfig(file, sensorConfig);
};
/** The lines a person sees, without the path that stands before each. */
async function problems(text: string | Uint8Array): Promise<string[]> {
  const error: unknown = await load(text).catch((caught: unknown) => caught);
  if (!(error instanceof TaplineError)) throw new Error("it was accepted", { cause: error });
  expect(error.code).toBe("CONFIG_INVALID");
  const [first, ...lines] = error.message.split("\n");
  expect(first).toBe(`the configuration ${file} has ${lines.length === 1 ? "1 problem" : `${lines.length} problems`}:`);
  return lines.map((line) => {
    expect(line.startsWith(`  ${file}:`), line).toBe(true);
    return line.slice(file.length + 3);
  });
}

const least = "interfaces: [{name: eth1}]\n";

test("the least configuration has every default", async () => {
  expect(await load(least)).toEqual({
    interfaces: [{ name: "eth1" }],
    capture: {
      ring: { blockKiB: 1024, blocks: 64, retireMs: 10 },
      threads: 1,
      filter: "",
      promiscuous: true,
      direction: "In",
    },
    pinning: { policy: "None", irq: "Observe" },
    analysis: { settle: 2e9, idleTimeout: 60e9, maxFlows: 1_000_000 },
    store: { path: "/var/lib/tapline/sensor.db", retention: { days: 7, MiB: 4096 } },
    budget: { memoryMiB: 512 },
    api: { enabled: true, host: "127.0.0.1", port: 3001 },
    metrics: { host: "127.0.0.1", port: 9464 },
    log: { level: "info", facilities: {} },
    export: {},
  });
});

test("the sample is the least configuration, and still loads with every optional line uncommented", async () => {
  const sample = readFileSync(new URL("../deploy/sensor.yaml", import.meta.url), "utf8");
  expect(await load(sample)).toEqual(await load(least.replace("eth1", "eth0")));
  // What stands behind # at the start of a key or an entry is an example; sentences are not.
  const whole = sample
    .replaceAll(/^( *)# (?=( {2,})?(- )?[a-zA-Z]+:( |$))/gm, "$1")
    .replace("policy: None", "policy: Explicit");
  expect(await load(whole.replaceAll(/^#( {3}\w)/gm, " $1").replaceAll(/^# {3}/gm, "  "))).toMatchObject({
    name: "edge-1",
    interfaces: [{ name: "eth0" }, { glob: "ens*", exclude: ["ens9"] }, { driver: "ixgbe" }],
    pinning: { cpus: "2-5,8" },
    nats: {
      url: ["nats://10.0.0.5:4222", "nats://10.0.0.6:4222"],
      credentialsFile: "/etc/tapline/sensor.creds",
      tls: { caFile: "/etc/tapline/ca.pem" },
      buffer: { findings: 100_000, MiB: 16 },
    },
    api: { tokenFile: "/etc/tapline/token" },
    profiling: { port: 6060 },
    log: { facilities: { capture: "debug", bus: "warning" }, format: "json" },
    export: { otlp: { endpoint: "http://127.0.0.1:4318" } },
  });
});

test("the relay's sample is the empty configuration, and still loads with every optional line uncommented", async () => {
  const read = async (text: string) => {
    writeFileSync(file, text);
    return await loadConfig(file, relayConfig);
  };
  const sample = readFileSync(new URL("../deploy/relay.yaml", import.meta.url), "utf8");
  expect(await read(sample)).toEqual(await read("{}"));
  const whole = sample.replaceAll(/^( *)# (?=[a-zA-Z]+:( |$))/gm, "$1").replaceAll(/^# {3}(?=\w)/gm, "  ");
  expect(await read(whole)).toMatchObject({
    name: "edge-1",
    control: { group: 990 },
    nats: {
      fleet: "default",
      plan: { publicKeyFile: "/etc/tapline/operator.pem" },
      tls: { caFile: "/etc/tapline/ca.pem" },
    },
    api: { port: 3002, tokenFile: "/etc/tapline/token" },
    metrics: { port: 9465, rules: 100 },
    profiling: { port: 6061 },
    log: { facilities: { stats: "warning" }, format: "json" },
  });
});

test("a section that is named but empty in text has its defaults", async () => {
  expect((await load(`${least}nats: {}\nprofiling: {}\n`)).nats).toEqual({
    url: ["nats://127.0.0.1:4222"],
    fleet: "default",
    pool: "default",
    buffer: { findings: 100_000, MiB: 16 },
  });
});

test.each([
  ["", ["1:1: the file is empty: it needs at least what is required"]],
  ["# only a comment\n", ["1:1: the file is empty: it needs at least what is required"]],
  ["- a\n", ["1:1: must be a section of keys; it is a list"]],
  ["name: x\n", ["1:1: interfaces: is required, and missing"]],
  [`${least}api:\n  port: 1\n  port: 2\n`, ["4:3: this key is given twice in one section"]],
  [`${least}api:\n\tport: 1\n`, ["3:1: a tab is no indentation in YAML: use spaces"]],
  [`${least}---\n${least}`, ["2:1: a second document starts here (---): one file is one configuration"]],
  [`${least}api: {port: 1\n`, ["3:1: Flow map in block collection must be sufficiently indented and end with a }"]],
  [`${least}name: !secret x\n`, ["2:7: Unresolved tag: !secret"]],
  [
    `${least}capture:\n  ring: {retireMS: 5}\n`,
    ["3:10: capture.ring.retireMS: there is no such key; did you mean retireMs?"],
  ],
  [
    `${least}capture: {ring: {block_kib: 4}}\n`,
    ["2:18: capture.ring.block_kib: there is no such key; did you mean blockKiB?"],
  ],
  [`${least}metrics: {colour: red}\n`, ["2:11: metrics.colour: there is no such key; known here: host, port"]],
  [`${least}metrics: {"\\t": red}\n`, ['2:11: metrics."\\t": there is no such key; known here: host, port']],
  [
    `${least}pinning: {policy: niclocal}\n`,
    ['2:19: pinning.policy: must be None, NicLocal or Explicit; it is the text "niclocal"; did you mean NicLocal?'],
  ],
  [
    `${least}log: {facilities: {captur: debug, bus: loud}}\n`,
    [
      "2:20: log.facilities.captur: there is no such key; did you mean capture?",
      '2:40: log.facilities.bus: must be debug, info, notice, warning, error or critical; it is the text "loud"',
    ],
  ],
  [
    `${least}capture: {threads: many, promiscuous: 1, filter: [a], ring: 5}\n`,
    [
      '2:20: capture.threads: must be a whole number; it is the text "many"',
      "2:39: capture.promiscuous: must be true or false; it is 1",
      "2:42: capture.filter: must be text; it is a list",
      "2:61: capture.ring: must be a section of keys; it is 5",
    ],
  ],
  [`${least}capture: {threads: 1.5}\n`, ["2:20: capture.threads: must be a whole number; it is 1.5"]],
  [
    `${least}budget: {memoryMiB: 9999}\ncapture: {threads: 65}\n`,
    ["3:20: capture.threads: must be at most 64; it is 65"],
  ],
  [`${least}capture: {ring: {blocks: 1}}\n`, ["2:26: capture.ring.blocks: must be at least 2; it is 1"]],
  [`${least}metrics:\n`, ["2:9: metrics: must be a section of keys; it is empty"]],
  [`${least}pinning: {policy: Explicit}\n`, ['2:1: pinning.cpus: is needed with policy Explicit, as "2-5,8"']],
  [
    `${least}pinning: {policy: Explicit, cpus: 3}\n`,
    ['2:35: pinning.cpus: must be text; it is 3: write "3", with the quotes'],
  ],
  [`${least}pinning: {policy: Explicit, cpus: 5-2}\n`, ['2:35: pinning.cpus: must be a list of CPUs, as "2-5,8"']],
  [`${least}pinning: {cpus: "1"}\n`, ["2:17: pinning.cpus: has no effect with policy None: set policy Explicit"]],
  [
    `${least}capture: {ring: {blockKiB: 100}}\n`,
    [
      "2:28: capture.ring.blockKiB: must be a power of two, at least one page (4): the kernel allocates a block as 2^n pages",
    ],
  ],
  [
    `${least}capture: {threads: 8}\n`,
    ["2:1: capture.ring: is 64 MiB for each of 8 threads, which leaves nothing of budget.memoryMiB 512"],
  ],
  [
    "interfaces:\n  - {name: a, glob: b*}\n  - {}\n  - {name: a, exclude: [c]}\n  - name: /dev/x\n",
    [
      "2:5: interfaces[0]: needs one of name, glob, driver; it has name and glob",
      "3:5: interfaces[1]: needs one of name, glob, driver; it has none",
      "4:12: interfaces[2].name: is a a second time",
      "4:15: interfaces[2].exclude: belongs to a glob or a driver, not to a name",
      "5:11: interfaces[3].name: must be the name of an interface, without spaces, slashes and colons",
    ],
  ],
  ["interfaces: []\n", ["1:1: interfaces: has 0 entries: it must have at least 1"]],
  [
    `${least}metrics: {port: 3001}\nprofiling: {port: 3001}\n`,
    ["2:17: metrics.port: is 3001, as api.port", "3:19: profiling.port: is 3001, as api.port"],
  ],
  [
    `${least}api: {host: 0.0.0.0}\n`,
    ["2:1: api.tokenFile: is needed: api.host is not a loopback address, and others could ask"],
  ],
  [
    `${least}analysis: {settle: 2, idleTimeout: 5 s}\n`,
    [
      "2:20: analysis.settle: must be a duration, 10ms to 10m, with its unit, as 500ms, 2s or 5m; it is 2",
      '2:36: analysis.idleTimeout: must be a duration from 1s to 1d with its unit, as 500ms, 2s or 5m; it is "5 s"',
    ],
  ],
  [
    `${least}analysis: {settle: 1m, idleTimeout: 5s}\n`,
    ["2:37: analysis.idleTimeout: must not be shorter than settle: a flow would end before its gaps are known"],
  ],
  [
    `${least}nats: {url: [nats://a, http://b, 4], userFile: a, tokenFile: b, tls: {certFile: c}, fleet: A.b}\n`,
    [
      "2:24: nats.url[1]: must be an address that starts with nats:// or tls://",
      '2:34: nats.url[2]: must be text; it is 4: write "4", with the quotes',
      "2:65: nats.tls: needs certFile and keyFile together, or neither",
      "2:92: nats.fleet: must be a name of small letters, digits and inner hyphens",
    ],
  ],
  [
    `${least}nats: {userFile: a, tokenFile: b}\n`,
    ["2:32: nats.tokenFile: is a second way to log in beside userFile: keep one"],
  ],
])("%j is refused with its places and remedies", async (text, expected) => {
  expect(await problems(text)).toEqual(expected);
});

test("a password in an address is refused without being repeated", async () => {
  const [line, ...rest] = await problems(`${least}nats: {url: "nats://me:hunter2@host"}\n`);
  expect(rest).toEqual([]);
  expect(line).toBe(
    "2:13: nats.url: must not contain a user or password: name a file that holds them, since addresses are logged",
  );
});

test("other texts than YAML are refused, and never half read", async () => {
  expect(await problems(Buffer.from([0x61, 0x3a, 0xff, 0xfe]))).toEqual([" is not UTF-8 text"]);
  expect(await problems(`${least}#${"x".repeat(1 << 20)}`)).toEqual([" is larger than 1 MiB: is this the right file?"]);
  const bomb = [
    "a0: &a0 [x,x,x,x,x,x,x,x,x]",
    ...[1, 2, 3, 4, 5, 6].map((i) => `a${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`),
  ];
  expect(await problems(bomb.join("\n"))).toEqual([
    "1:1: aliases expand to too much: Excessive alias count indicates a resource exhaustion attack",
  ]);
  expect(await load(`\uFEFF${least}`)).toMatchObject({ interfaces: [{ name: "eth1" }] });
});

test("a file that cannot be read is said to be so", async () => {
  const message = async (path: string) =>
    (await loadConfig(path, sensorConfig).catch((error: Error) => error.message)) as string;
  const none = join(folder, "none.yaml");
  expect(await message(none)).toBe(`the configuration ${none} cannot be read: it does not exist`);
  expect(await message(folder)).toBe(`the configuration ${folder} cannot be read: it is a directory`);
  expect(await message("/dev/zero")).toBe("the configuration /dev/zero cannot be read: it is not a regular file");
  // Root reads everything, so another user asks.
  writeFileSync(file, least, { mode: 0o600 });
  const asked = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `process.chdir("/"); const { loadConfig } = await import(${JSON.stringify(new URL("config.ts", import.meta.url).href)});
       const { z } = await import("zod"); process.setuid(65534);
       console.log((await loadConfig(${JSON.stringify(file)}, z.any()).catch((error) => error)).message);`,
    ],
    { encoding: "utf8", cwd: new URL("..", import.meta.url) },
  );
  expect(asked.stdout.trim(), asked.stderr).toBe(`the configuration ${file} cannot be read: permission denied`);
});

test("no text makes it throw anything else", () => {
  const word = fc.constantFrom(
    "name",
    "interfaces",
    ":",
    "[",
    "]",
    "{",
    "}",
    "-",
    "\n",
    "  ",
    "&a",
    "*a",
    "!",
    "'",
    '"',
    "<<",
    "1",
    "\t",
    "#",
    "|",
    ">",
    "?",
    "%",
    "__proto__",
  );
  const all = () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "grapheme", maxLength: 60 }),
          fc.array(word, { maxLength: 40 }).map((words) => words.join("")),
        ),
        (text) => {
          const result = parseConfig(text, sensorConfig);
          if ("problems" in result) for (const line of result.problems) expect(line).toMatch(/^\d+:\d+: \S/);
        },
      ),
      { numRuns: 2000 },
    );
  expect(all).not.toThrow();
});

const from = async (more: string) => await load(least + more);
test.each([
  ["", "", [], []],
  ["capture: {filter: ip}\n", "", ["capture.filter"], []],
  ["capture: {threads: 2, ring: {blocks: 8}}\n", "", [], ["capture.ring.blocks", "capture.threads"]],
  ["analysis: {settle: 2000ms}\n", "", [], []],
  ["analysis: {settle: 1s, maxFlows: 5}\n", "", ["analysis.settle", "analysis.maxFlows"], []],
  ["pinning: {irq: Manage, policy: NicLocal}\n", "", ["pinning.irq"], ["pinning.policy"]],
  ["store: {path: /a, retention: {days: 1}}\n", "", ["store.retention.days"], ["store.path"]],
  ["nats: {}\n", "", [], ["nats"]],
  ["nats: {url: nats://a}\n", "nats: {url: [nats://a, nats://b], tokenFile: t}\n", [], ["nats.url", "nats.tokenFile"]],
  [
    "log: {level: debug, facilities: {bus: error}}\nbudget: {memoryMiB: 600}\n",
    "",
    ["budget.memoryMiB", "log.level", "log.facilities"],
    [],
  ],
  ["profiling: {}\nname: other\n", "", [], ["name", "profiling"]],
])("from %j to %j changes %j at once and %j after a restart", async (before, after, live, restart) => {
  expect(configChanges(sensorConfig, await from(before), await from(after))).toEqual({ live, restart });
});

test("another list of interfaces is one change, applied at once", async () => {
  const [before, after] = [await load(least), await load("interfaces: [{name: eth1}, {glob: e*}]\n")];
  expect(configChanges(sensorConfig, before, after)).toEqual({ live: ["interfaces"], restart: [] });
});
