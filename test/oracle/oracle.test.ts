// Three that share no code must say the same of every flow: the engine's database, tshark with oracle.py, and counters
// worked out by hand (patterns.jsonl, frames.py) or known to the generator (its truth file).
import Database from "better-sqlite3";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const run = promisify(execFile);
const here = import.meta.dirname;
const tapline = join(here, "../../bin/tapline");
const python = process.env["PYTHON"] ?? "python3";
const folder = mkdtempSync(join(tmpdir(), "tapline-oracle-"));
afterAll(() => rmSync(folder, { recursive: true }));

const counters = [
  "packets", "expected", "unique", "reordered", "duplicate", "late", "lost", "jumps", "outliers", "restarts", "first_number", "last_number", "gaps", "max_gap",
] as const; // biome-ignore format: one list
type Gap = readonly [first: number, last: number, noticed: number, confirmed: number, jump: boolean];
type Flow = Readonly<Record<string, unknown>> & { readonly packet: number; readonly gap_list: readonly Gap[] };
interface Result {
  readonly totals: Readonly<Record<string, number>>;
  readonly flows: readonly Flow[];
}

/** Times exceed 2^53: text, so that JSON.parse rounds nothing. */
const parse = (json: string): Result => JSON.parse(json.replaceAll(/(?<!")\b1[67]\d{17}\b/g, '"$&"')) as Result;

async function ask(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args, { maxBuffer: 1 << 29 });
  return stdout;
}

const oracle = async (capture: string): Promise<Result> => parse(await ask(python, join(here, "oracle.py"), capture));

async function engine(capture: string, threads: number): Promise<Result> {
  const path = `${capture}.${threads}.db`;
  await ask(tapline, "analyze", capture, path, "--threads", String(threads), "--json");
  using db = Object.assign(new Database(path, { readonly: true }).defaultSafeIntegers(), {
    [Symbol.dispose]: () => db.close(),
  });
  const all = (sql: string): Record<string, bigint | string | null>[] =>
    db.prepare<[], Record<string, bigint | string | null>>(sql).all();
  const plain = (value: unknown): unknown =>
    typeof value !== "bigint" ? value : value > 2n ** 53n ? String(value) : Number(value);

  const gaps = new Map<unknown, Gap[]>();
  for (const gap of all("SELECT * FROM gaps")) {
    const list = gaps.get(gap["packet"]) ?? [];
    if (list.length === 0) gaps.set(gap["packet"], list);
    list.push(
      [gap["first"], gap["last"], gap["noticed_ns"], gap["confirmed_ns"], gap["jump"] === 1n].map(
        plain,
      ) as unknown as Gap,
    );
  }
  const flows = all(
    "SELECT f.*, p.name AS protocol_name, e.name AS end_name FROM flows f JOIN protocols p USING (protocol) JOIN flow_ends e USING (ended)",
  ).map((row) => {
    const flow = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)]));
    const shown = {
      ...flow,
      unique: flow["unique_packets"],
      first_number: flow["first_sequence"],
      last_number: flow["last_sequence"],
    };
    const named = {
      ...shown,
      protocol: flow["protocol_name"],
      evicted: flow["end_name"] === "evicted",
      first_time: flow["first_ns"],
      last_time: flow["last_ns"],
    };
    const key = {
      vlans: [flow["outer_vlan"], flow["inner_vlan"]].filter((id) => id !== null),
      ports: [flow["source_port"], flow["destination_port"]],
    };
    return {
      ...named,
      ...key,
      sci: typeof flow["sci"] === "string" ? flow["sci"].replaceAll(/[^0-9a-f]/g, "") : null,
      gap_list: gaps.get(row["packet"]) ?? [],
    } as unknown as Flow;
  });

  const totals: Record<string, number> = {};
  const add = (name: string, count: number): void => {
    if (count > 0) totals[name] = (totals[name] ?? 0) + count;
  };
  for (const flow of flows) add(String(flow["protocol"]), Number(flow["packets"]));
  for (const row of all("SELECT kind, reason, packets FROM ledger_reasons"))
    add(row["kind"] === "undecodable" ? "undecodable" : String(row["reason"]), Number(row["packets"]));
  for (const row of all("SELECT residue FROM ledger")) expect(row["residue"], "residue").toBe(0n);
  return { totals, flows };
}

const ordered = (gaps: readonly Gap[]): Gap[] =>
  gaps.toSorted((a, b) => a[0] - b[0] || String(a[3]).localeCompare(String(b[3])));
const flowName = (flow: Flow): string => (typeof flow["name"] === "string" ? flow["name"] : `flow ${flow.packet}`);

/** Every difference, in words: an array of 300 flows shown as a diff helps nobody. */
function differences(wanted: Result, found: Result, fields: readonly string[]): string[] {
  const said: string[] = [];
  const other = new Map(found.flows.map((flow) => [flow.packet, flow]));
  for (const flow of wanted.flows) {
    const match = other.get(flow.packet);
    other.delete(flow.packet);
    if (match === undefined) {
      said.push(`${flowName(flow)}: no flow begins at packet ${flow.packet}`);
      continue;
    }
    const compare = (what: string, a: unknown, b: unknown): void => {
      const [x, y] = [JSON.stringify(a ?? null), JSON.stringify(b ?? null)];
      if (x !== y) said.push(`${flowName(flow)} (packet ${flow.packet}) ${what}: wanted ${x}, found ${y}`);
    };
    const sequenced = flow["first_number"] !== undefined && flow["first_number"] !== null;
    for (const field of fields) if (sequenced || !field.endsWith("_number")) compare(field, flow[field], match[field]);
    for (const [field, value] of Object.entries((flow["key"] ?? {}) as Record<string, unknown>))
      compare(field, value, match[field]);
    compare("gaps", ordered(flow.gap_list), ordered(match.gap_list));
  }
  for (const flow of other.values()) said.push(`a flow that should not be begins at packet ${flow.packet}`);
  for (const name of new Set([...Object.keys(wanted.totals), ...Object.keys(found.totals)])) {
    const [a, b] = [wanted.totals[name] ?? 0, found.totals[name] ?? 0];
    if (a !== b) said.push(`packets of ${name}: wanted ${a}, found ${b}`);
  }
  return said;
}

const byHand = [...counters, "protocol", "evicted"];
const byOracle = [...counters, "bytes", "protocol", "evicted", "first_time", "last_time", "vlans"];
const keyed: Readonly<Record<string, readonly string[]>> = {
  macsec: ["sci", "an"],
  esp: ["destination", "spi"],
  ah: ["destination", "spi"],
  tcp: ["source", "destination", "ports"],
  udp: ["source", "destination", "ports"],
};
/** The oracle's flows with their keys set apart, to be compared as well. */
const withKeys = (result: Result): Result => ({
  ...result,
  flows: result.flows.map((flow) => ({
    ...flow,
    key: Object.fromEntries((keyed[String(flow["protocol"])] ?? []).map((name) => [name, flow[name]])),
  })),
});

describe("frames built by scapy", () => {
  const files = ["short", "long", "brief", "again", "ethernet", "cooked", "cooked2", "raw", "reversed"].map(
    (name) => `${name}.pcap`,
  );
  let expected: Record<string, Result> = {};
  beforeAll(async () => {
    await ask(python, join(here, "frames.py"), folder);
    expected = parse(readFileSync(join(folder, "expected.json"), "utf8")) as unknown as Record<string, Result>;
    expect(Object.keys(expected).toSorted()).toEqual(files.toSorted());
  });

  test.each(files)("%s: the oracle counts what was worked out by hand", async (file) => {
    const found = await oracle(join(folder, file));
    expect(differences(expected[file] as Result, found, byHand)).toEqual([]);
    for (const flow of found.flows)
      expect(flow["expected"]).toBe((flow["unique"] as number) + (flow["lost"] as number));
  });

  test.each(files.flatMap((file) => [1, 2, 4].map((threads) => [file, threads] as const)))(
    "%s: the engine on %i threads counts what was worked out by hand",
    async (file, threads) => {
      const found = await engine(join(folder, file), threads);
      expect(differences(expected[file] as Result, found, byHand)).toEqual([]);
      expect(differences(withKeys(await oracle(join(folder, file))), found, byOracle)).toEqual([]);
    },
  );

  test("numbers and times around every limit, at random: the engine counts what the oracle does", async () => {
    const told = await oracle(join(folder, "noise.pcap"));
    for (const what of ["reordered", "duplicate", "late", "lost", "jumps", "outliers", "restarts", "evicted"]) {
      expect(told.flows.filter((flow) => Number(flow[what]) > 0).length, what).toBeGreaterThan(20);
    }
    for (const threads of [1, 2, 4])
      expect(differences(withKeys(told), await engine(join(folder, "noise.pcap"), threads), byOracle)).toEqual([]);
  });
});

describe("captures of the generator", () => {
  const harm = ["--loss", "0.05", "--reorder", "0.05", "--duplicate", "0.01"];
  const captures: Readonly<Record<string, readonly string[]>> = {
    "MACsec, nothing lost": ["--protocol", "macsec", "--flows", "50"],
    "MACsec, few flows": ["--protocol", "macsec", "--flows", "4", ...harm],
    "MACsec, many flows, rekeys": ["--protocol", "macsec", "--flows", "1000", "--rekey", "8", ...harm],
    "MACsec, XPN, VLAN, rekeys": [
      "--protocol",
      "macsec",
      "--flows",
      "40",
      "--xpn",
      "--vlan",
      "--rekey",
      "100",
      ...harm,
    ],
    "IPsec, few flows, ESN": ["--protocol", "ipsec", "--flows", "6", "--esn", ...harm],
    "IPsec, many flows, IPv6, VLAN, rekeys": [
      "--protocol",
      "ipsec",
      "--flows",
      "500",
      "--ipv6",
      "--vlan",
      "--rekey",
      "20",
      ...harm,
    ],
    "TCP over both, VLAN": ["--protocol", "tcp", "--flows", "200", "--ipv6", "--vlan", ...harm],
    "everything mixed": [
      "--protocol",
      "mixed",
      "--flows",
      "200",
      "--xpn",
      "--esn",
      "--ipv6",
      "--vlan",
      "--rekey",
      "50",
      ...harm,
    ],
    "everything mixed, pcapng": [
      "--protocol",
      "mixed",
      "--flows",
      "30",
      "--xpn",
      "--esn",
      "--ipv6",
      "--vlan",
      "--pcapng",
      ...harm,
    ],
    "slow: settling and idle flows": [
      "--protocol",
      "mixed",
      "--flows",
      "1000",
      "--pps",
      "100",
      "--microseconds",
      "--loss",
      "0.05",
      "--duplicate",
      "0.01",
    ],
  };
  mkdirSync(join(folder, "made"));

  describe.each(Object.entries(captures))("%s", (name, args) => {
    const capture = join(folder, "made", `${name.replaceAll(/\W+/g, "-")}.pcap`);
    let told: Result;
    let truth: Result;
    beforeAll(async () => {
      await ask(
        tapline,
        "pcap",
        "generate",
        "--packets",
        "20000",
        "--seed",
        "7",
        "--output",
        capture,
        "--truth",
        `${capture}.json`,
        ...args,
      );
      truth = parse(readFileSync(`${capture}.json`, "utf8"));
      told = await oracle(capture);
    });

    // The truth knows what was sent and dropped, not when it settled: it says nothing of the slow capture.
    if (!name.startsWith("slow"))
      test("the oracle counts what the generator did", () => {
        const fields = [
          "packets",
          "bytes",
          "protocol",
          "expected",
          "unique",
          "reordered",
          "duplicate",
          "lost",
          "gaps",
          "max_gap",
          "first_number",
          "last_number",
        ];
        const counted = truth.flows.map((flow) => ({
          ...flow,
          ...(keyed[String(flow["protocol"])]?.includes("ports") ? { first_number: null } : {}),
          gap_list: told.flows.find((one) => one.packet === flow.packet)?.gap_list ?? [],
        }));
        expect(differences({ flows: counted, totals: told.totals }, told, fields)).toEqual([]);
        expect(
          Object.keys(told.totals).filter(
            (what) => what === "invalid_number" || what.startsWith("other") || what === "undecodable",
          ),
        ).toEqual([]);
      });

    test.each([1, 2, 4])("the engine on %i threads counts what the oracle does", async (threads) => {
      expect(differences(withKeys(told), await engine(capture, threads), byOracle)).toEqual([]);
    });
  });
});
