// The columns in memory and SQL are two accounts of the same flows: whatever is asked, they must agree.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseFilter } from "#domain/filter.ts";
import { sortFields, type SortField } from "#domain/flow-fields.ts";
import { protocols } from "#domain/vocabulary.ts";
import { BatchInsert } from "./batch-insert.ts";
import { FlowPages, type FlowPage, type FlowQuery } from "./flow-pages.ts";
import { planFlows } from "./flow-plan.ts";
import { firstInOrder } from "./flow-select.ts";
import { LiveFlows } from "./live-flows.ts";
import { flowBatch, type MadeFlow } from "./made-records.ts";
import { openForWriting } from "./open.ts";

const t0 = 1_790_000_000_000_000_000n;

/** Few values each, so that ties and matches are common. */
function made(packet: number, random: () => number): MadeFlow {
  const protocol = protocols[Math.floor(random() * 5)] ?? "esp";
  const pick = (count: number): number => Math.floor(random() * count);
  const ipv6 = protocol !== "macsec" && pick(3) === 0;
  const address = (): number[] =>
    protocol === "macsec"
      ? [2, 0, 0, 0, 0, pick(3)]
      : ipv6
        ? [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), pick(3)]
        : [10, pick(2), 0, pick(4)];
  const sequenced = protocol !== "tcp" && protocol !== "udp";
  const first = t0 + BigInt(pick(20)) * 500_000_001n;
  return {
    packet, protocol, ipv6, firstNs: first, lastNs: first + BigInt(pick(4)) * 1_000_000_003n, packets: 10 + pick(5), bytes: 1000 * pick(6), end: pick(3), an: pick(4),
    lost: sequenced ? pick(4) : 0, late: sequenced ? pick(2) : 0, jumps: sequenced ? pick(2) : 0, vlans: [[], [100], [100, 200]][pick(3)] ?? [], source: address(), destination: address(),
    sci: [2, 0, 0, 0, 0, pick(2), 0, 1], ...(protocol === "tcp" || protocol === "udp" ? { ports: [pick(3) + 442, pick(3) + 442] as const } : { spi: pick(3) + 0xffff_fffd }),
  }; // biome-ignore format: one flow
}

const pagesOf = (database: Database.Database, limit: number): FlowPages =>
  new FlowPages(database, limit, new LiveFlows(database, limit));

let folder: string;
let db: Database.Database;
let columns: FlowPages;
let sql: FlowPages;
let insert: BatchInsert;
let seed = 7;
const random = (): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return seed / 2 ** 32;
};
let packet = 0;
const nextPacket = (): number => {
  packet += 1 + Math.floor(random() * 3);
  return packet;
};
const addFlows = (count: number): void =>
  insert.write(flowBatch(Array.from({ length: count }, () => made(nextPacket(), random))));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-pages-"));
  db = openForWriting(join(folder, "x.db"));
  insert = new BatchInsert(db);
  columns = pagesOf(db, 1_000_000);
  sql = pagesOf(new Database(join(folder, "x.db")), 0); // nothing may be held in memory: all goes to SQL
  for (let run = 0; run < 2; run++) {
    packet = 0;
    insert.begin({ source: "x", options: {} });
    for (const count of [1, 40, 300, 7]) addFlows(count);
  }
});
afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

const term = fc.constantFrom(
  "proto=macsec", "proto!=esp,ah", "lost>0", "lost=1,3", "lost!=0", "lost<=2", "packets>=12", "bytes>1e3", "bytes<3k", "gaps=0", "packet>300", "src=10.0.0.0/16", "src!=10.1.0.0/16", "dst=10.0.0.2",
  "dst=2001:db8::/32", "addr=02:00:00:00:00:01", "addr!=10.0.0.0/8,2001:db8::1", "src=::/0", "src=0.0.0.0/0", "port=443", "port!=443", "port>443", "sport=442", "dport!=444", "vlan=200", "vlan!=100", "vlan>150", "an=2", "an!=2",
  "an<3", "spi=0xffffffff", "spi!=0xfffffffe", "spi>0xfffffffd", "sci=0200000000010001", "sci!=0200000000000001", "end=evicted", "end!=capture_end", "evicted", "!evicted", "ipv6", "!ipv6", "!natt", "wrapped",
  "first>=2026-09-21T14:13:22Z", "last<2026-09-21T14:13:25.5Z", "first=2026-09-21T14:13:21.500000003Z", "duration>1s", "duration=1000000003ns", "bandwidth>0.01", "bandwidth=0", "run=1", "run>1", "run!=2",
); // biome-ignore format: one list
const indexedSorts: readonly SortField[] = [
  "packet",
  "packets",
  "bytes",
  "lost",
  "gaps",
  "bandwidth",
  "duration",
  "first_seen",
  "last_seen",
];

function allPages(pages: FlowPages, query: Omit<FlowQuery, "after">): { names: string[]; first: FlowPage } {
  const first = pages.page(query);
  const names = first.flows.map(({ run, packet: name }) => `${run}-${name}`);
  for (let next = first.next; next; ) {
    const page = pages.page({ ...query, after: next });
    names.push(...page.flows.map(({ run, packet: name }) => `${run}-${name}`));
    next = page.next;
  }
  return { names, first };
}

describe("a flow list", () => {
  test("is the same by columns and by SQL, whatever the filter, order, runs and page size", () => {
    const asked = fc.record({
      terms: fc.array(term, { maxLength: 4 }),
      by: fc.constantFrom(...indexedSorts),
      descending: fc.boolean(),
      limit: fc.constantFrom(1000, 97, 5),
      runs: fc.constantFrom([1], [2], [1, 2]),
    });
    fc.assert(
      fc.property(asked, ({ terms, by, descending, limit, runs }) => {
        const query = { runs, filter: parseFilter(terms.join(" ")), sort: { by, descending }, limit };
        // Terms about the run choose the runs before they come here; SQL reads them once more.
        const chosen = runs.filter(
          (run) =>
            !(terms.includes("run=1") || terms.includes("run!=2") ? run !== 1 : false) &&
            !(terms.includes("run>1") && run < 2),
        );
        const a = allPages(columns, { ...query, runs: chosen });
        const b = allPages(sql, query);
        expect(a.names).toEqual(b.names);
        expect(new Set(a.names).size).toBe(a.names.length);
        expect(a.first.plan.indexed).toBe(true);
        expect(b.first.plan.indexed).toBe(false);
        expect(a.first.total).toBe(a.names.length);
      }),
      { numRuns: 150 },
    );
  });

  test("takes in what an analysis adds while it is asked", () => {
    const query = {
      runs: [2],
      filter: parseFilter("lost>0"),
      sort: { by: "lost", descending: true },
      limit: 1000,
    } as const;
    for (const count of [1, 200, 0, 3]) {
      if (count) addFlows(count);
      expect(columns.page(query).flows).toEqual(sql.page(query).flows);
    }
  });

  test.each(sortFields)("can be sorted by %s both ways", (by) => {
    for (const descending of [false, true]) {
      const { names } = allPages(columns, { runs: [1], filter: [], sort: { by, descending }, limit: 50 });
      expect(names).toEqual(allPages(sql, { runs: [1], filter: [], sort: { by, descending }, limit: 348 }).names);
      expect(names).toHaveLength(348);
    }
  });

  test("forgets the run longest unused when memory is short, and answers the same", () => {
    const tight = pagesOf(new Database(join(folder, "x.db")), 600);
    for (const run of [1, 2, 1, 2]) {
      const query = {
        runs: [run],
        filter: parseFilter("bytes>2k"),
        sort: { by: "bytes", descending: true },
        limit: 30,
      } as const;
      expect(tight.page(query)).toEqual(columns.page(query));
    }
  });
});

describe("the plan", () => {
  test.each([
    ["proto=macsec lost>0 bytes>1e6 src=10.0.0.0/8 first>=2026-11-21", "last_seen", true, ""],
    ["", "packets", true, ""],
    ["late>0 lost>0", "lost", false, "late:"],
    ["lost>0 jump", "unique", false, "jump, sort=unique:"],
  ] as const)("%s by %s: indexed is %s", (text, sort, indexed, named) => {
    const plan = planFlows(parseFilter(text), sort, 1000, 1000);
    expect(plan.indexed).toBe(indexed);
    if (!plan.indexed) expect(plan.note).toContain(named);
  });
  test("more flows than memory may hold go to SQL", () =>
    expect(planFlows([], "lost", 1001, 1000).indexed).toBe(false));
});

test("the first few in order are what a whole sort gives, on any data, also sorted the wrong way", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 6000, minLength: 0, size: "max" }),
      fc.nat(400),
      fc.boolean(),
      fc.boolean(),
      (values, count, sorted, descending) => {
        if (sorted) values.sort((a, b) => b - a);
        const sign = descending ? -1 : 1;
        const keys = Float64Array.from(values);
        const ties = Float64Array.from(values, (_, i) => (i * 7919) % 10_007); // in an order of their own
        const compare = (a: number, b: number): number =>
          sign * ((values[a] as number) - (values[b] as number)) || (ties[a] as number) - (ties[b] as number);
        const whole = values.map((_, i) => i).sort(compare);
        expect(firstInOrder(undefined, values.length, { keys, sign, ties }, count)).toEqual(whole.slice(0, count));
      },
    ),
    { numRuns: 60 },
  );
});
