import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import { flowBatch, gapBatch, linkBatch, madeSummary, type MadeFlow } from "./made-records.ts";
import { finish, openForReading, openForWriting } from "./open.ts";
import { applicationId, migrate, migrations, schemaVersion } from "./schema.ts";
import { StoreReader } from "./reader.ts";
import { StoreWriter } from "./writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-store-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => join(folder, `${++files}.db`);

const t0 = 1_790_000_000_000_000_001n;
const macsec = (packet: number, change: Partial<MadeFlow> = {}): MadeFlow => ({
  packet,
  protocol: "macsec",
  firstNs: t0 + BigInt(packet),
  lastNs: t0 + 1_000_000_007n,
  packets: 10,
  bytes: 14_420,
  an: 2,
  sci: [2, 0, 0, 0, 0, 1, 0, 1],
  source: [2, 0, 0, 0, 0, 1],
  destination: [1, 128, 194, 0, 0, 3],
  ...change,
});

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof TaplineError) return error.code;
    throw error;
  }
  return "nothing went wrong";
};

describe("a run that is written", () => {
  test("reads back to the nanosecond and the last bit, for every kind of flow", async () => {
    const path = fresh();
    const writer = await StoreWriter.open(path);
    expect(await writer.beginRun({ source: "a.pcap", options: { threads: 2 } })).toBe(1);
    const big = 2 ** 52 + 1;
    await writer.write(
      flowBatch([
        macsec(1, { lost: 3, gaps: 2, duplicate: 1, late: 2, jumps: 1, vlans: [100, 4094], bytes: big }),
        macsec(2, { protocol: "esp", spi: 0xffff_fffe, source: [10, 0, 0, 1], destination: [255, 255, 255, 255] }),
        macsec(3, {
          protocol: "ah",
          spi: 1,
          ipv6: true,
          source: [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 1],
          destination: Array<number>(16).fill(0),
        }),
        macsec(4, { protocol: "udp", ports: [53, 65_535], source: [10, 0, 0, 1], destination: [10, 0, 0, 2], end: 1 }),
      ]),
    );
    await writer.write(gapBatch([{ packet: 1, first: 4, last: 5, noticedNs: t0, confirmedNs: t0 + 2n, jump: true }]));
    await writer.write(linkBatch([{ packet: 2, previous: 1, kind: 1 }]));
    await writer.finishRun(madeSummary());
    await writer.close();
    expect(existsSync(`${path}-wal`)).toBe(false);

    const db = openForReading(path);
    const flow = (packet: number) => db.prepare("SELECT * FROM flows WHERE packet = ?").safeIntegers().get(packet);
    expect(flow(1)).toMatchObject({
      run: 1n, protocol: 0n, source: "02:00:00:00:00:01", destination: "01:80:c2:00:00:03", sci: "0200000000010001", an: 2n, spi: null, outer_vlan: 100n,
      inner_vlan: 4094n, first_ns: t0 + 1n, last_ns: t0 + 1_000_000_007n, bytes: BigInt(big), lost: 3n, gaps: 2n, duplicate: 1n, late: 2n, jumps: 1n, min_gap: 1n, max_gap: 2n,
    }); // biome-ignore format: one row
    expect(flow(2)).toMatchObject({
      source: "10.0.0.1",
      destination: "255.255.255.255",
      spi: 0xffff_fffen,
      sci: null,
      an: null,
      outer_vlan: null,
    });
    expect(flow(3)).toMatchObject({ source: "2001:db8::1", destination: "::", ipv6: 1n });
    expect(flow(4)).toMatchObject({ source_port: 53n, destination_port: 65_535n, first_sequence: null, ended: 1n });
    expect(db.prepare("SELECT flow, protocol, ended, spi, first FROM flow_list WHERE flow = '1-2'").get()).toEqual({
      flow: "1-2",
      protocol: "esp",
      ended: "capture_end",
      spi: "0xfffffffe",
      first: "2026-09-21T14:13:20.000000003Z",
    });
    expect(db.prepare("SELECT complete, flows, packets, engine_ns FROM runs").get()).toEqual({
      complete: 1,
      flows: 10,
      packets: 1000,
      engine_ns: 100_000_000,
    });
    expect(db.prepare("SELECT reason, packets FROM ledger_reasons ORDER BY reason").raw().all()).toEqual([["arp", 5], ["ike", 3], ["truncated", 2]]); // biome-ignore format: rows
    db.close();
  });

  test("keeps sums per protocol that equal the sums of its flows, over many batches and runs", async () => {
    const path = fresh();
    for (const run of [1, 2]) {
      const writer = await StoreWriter.open(path);
      expect(await writer.beginRun({ source: "a.pcap", options: {} })).toBe(run);
      const kinds = ["macsec", "esp", "tcp"] as const;
      for (let batch = 0; batch < 20; batch++) {
        const flows = Array.from({ length: 37 }, (_, i) =>
          macsec(batch * 100 + i + 1, {
            protocol: kinds[i % 3] ?? "esp",
            packets: i + 5,
            lost: i % 3 === 2 ? 0 : i % 7,
            duplicate: i % 3 === 2 ? 0 : 1,
            late: i % 3 === 2 ? 0 : i % 2,
          }),
        );
        await writer.write(flowBatch(flows));
      }
      await writer.finishRun(madeSummary());
      await writer.close();
    }
    const db = openForReading(path);
    const kept = db.prepare("SELECT * FROM totals ORDER BY run, protocol").all();
    // The migration's own statement is the independent account.
    const summed = db
      .prepare((migrations[1] as string).slice((migrations[1] as string).indexOf("SELECT run")))
      .raw()
      .all();
    expect(kept.map((row) => Object.values(row as object))).toEqual(summed);
    expect(kept).toHaveLength(6);
    expect(db.prepare("SELECT count(*) FROM flows").pluck().get()).toBe(2 * 20 * 37);
    expect(db.prepare("SELECT sum(flows) FROM flow_columns").pluck().get()).toBe(2 * 20 * 37);
    db.close();
  });

  test("never holds a flow twice: the batch that brings it again is refused whole", async () => {
    const path = fresh();
    const writer = await StoreWriter.open(path);
    await writer.beginRun({ source: "a.pcap", options: {} });
    await writer.write(flowBatch([macsec(1)]));
    const outcomes = await Promise.allSettled([
      writer.write(flowBatch([macsec(2), macsec(1)])),
      writer.write(flowBatch([macsec(3)])),
      writer.finishRun(madeSummary()),
    ]);
    expect(outcomes.at(-1)?.status).toBe("rejected");
    await writer.close();
    const db = openForReading(path);
    expect(db.prepare("SELECT packet FROM flows").pluck().all()).toEqual([1]);
    expect(db.prepare("SELECT complete, finished_ns FROM runs").get()).toEqual({ complete: 0, finished_ns: null });
    db.close();
  });

  test("after kill -9 between batches whole batches are there, and the run is marked incomplete", async () => {
    const path = fresh();
    const script = `
      import { StoreWriter } from ${JSON.stringify(new URL("./writer.ts", import.meta.url).href)};
      import { flowBatch } from ${JSON.stringify(new URL("./made-records.ts", import.meta.url).href)};
      const writer = await StoreWriter.open(${JSON.stringify(path)});
      await writer.beginRun({ source: "a.pcap", options: {} });
      for (let packet = 1; ; packet += 100) {
        const flows = Array.from({ length: 100 }, (_, i) => ({ packet: packet + i, protocol: "esp", firstNs: 1n, lastNs: 2n, packets: 2, bytes: 200, lost: 1 }));
        await writer.write(flowBatch(flows));
        if (packet === 2001) process.stdout.write("writing");
      }`;
    const program = join(folder, "endless.mts");
    writeFileSync(program, script);
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");

    const db = openForReading(path);
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    const flows = db.prepare("SELECT count(*) FROM flows").pluck().get() as number;
    expect(flows).toBeGreaterThanOrEqual(1000);
    expect(flows % 100).toBe(0);
    expect(db.prepare("SELECT flows FROM totals").pluck().get()).toBe(flows);
    expect(db.prepare("SELECT sum(flows) FROM flow_columns").pluck().get()).toBe(flows);
    expect(db.prepare("SELECT run, complete, finished_ns FROM runs").all()).toEqual([
      { run: 1, complete: 0, finished_ns: null },
    ]);
    db.close();

    const writer = await StoreWriter.open(path);
    expect(await writer.beginRun({ source: "b.pcap", options: {} })).toBe(2);
    await writer.close();
  });

  test("holds back a caller that is faster than the disk", async () => {
    const writer = await StoreWriter.open(fresh());
    await writer.beginRun({ source: "a.pcap", options: {} });
    const batches = Array.from({ length: 12 }, (_, b) =>
      flowBatch(Array.from({ length: 500 }, (_, i) => macsec(b * 500 + i + 1))),
    );
    let admitted = 0;
    const all = batches.map((batch) => writer.write(batch).then(() => admitted++));
    await Promise.race(all);
    expect(admitted).toBeLessThan(12);
    await Promise.all(all);
    expect(batches.every(({ records }) => records.byteLength === 0)).toBe(true); // handed over, not copied
    await writer.close();
    await writer.close();
  });
});

test("a reader keeps its view while runs come and go, and a writer does not wait for it", async () => {
  const path = fresh();
  await (await StoreWriter.open(path)).close();
  const reader = await StoreReader.open(path);
  for (const run of [1, 2, 3]) {
    const writer = await StoreWriter.open(path);
    await writer.beginRun({ source: "a.pcap", options: {} });
    await writer.write(flowBatch([macsec(1), macsec(2)]));
    await writer.finishRun(madeSummary()); // every batch is committed behind it
    expect(
      (await reader.ask("flowPage", { runs: [run], filter: [], sort: { by: "packet", descending: false }, limit: 10 }))
        .total,
    ).toBe(2);
    const started = performance.now();
    await writer.close();
    expect(performance.now() - started).toBeLessThan(2000);
    expect(await reader.ask("chooseRuns", "all", [])).toHaveLength(run);
  }
  await reader.close();
});

describe("a file of version 1", () => {
  const old = (path: string): void => {
    const db = new Database(path);
    migrate(db, 1);
    db.exec("INSERT INTO runs (source, options, started_ns) VALUES ('old.pcap', '{}', 1)");
    db.exec(`INSERT INTO flows (run, packet, protocol, ended, source, destination, first_ns, last_ns, packets, bytes, min_inter_arrival_ns, max_inter_arrival_ns, expected, unique_packets, lost)
             VALUES (1, 1, 0, 0, 'a', 'b', 10, 20, 5, 500, 1, 2, 6, 5, 1), (1, 9, 0, 0, 'a', 'b', 5, 30, 7, 700, 1, 2, 7, 7, 0)`);
    db.close();
  };

  test.each([
    ["a writer", async (path: string) => (await StoreWriter.open(path)).close()],
    ["a reader", async (path: string) => (await StoreReader.open(path)).close()],
  ])("is brought up to date by %s, with its flows summed", async (_, open) => {
    const path = fresh();
    old(path);
    await open(path);
    const db = openForReading(path);
    expect(db.pragma("user_version", { simple: true })).toBe(schemaVersion);
    expect(db.prepare("SELECT flows, packets, bytes, first_ns, last_ns, expected, lost FROM totals").all()).toEqual([
      { flows: 2, packets: 12, bytes: 1200, first_ns: 5, last_ns: 30, expected: 13, lost: 1 },
    ]);
    db.close();
  });
});

describe("a database that cannot be opened says why", () => {
  const write = (path: string, busyMs = 50) => codeOf(async () => (await StoreWriter.open(path, { busyMs })).close());
  const read = (path: string) => codeOf(async () => (await StoreReader.open(path)).close());
  const made = (path: string, sql: string): string => {
    const db = new Database(path);
    db.exec(sql);
    db.close();
    return path;
  };

  test("a directory", async () => {
    expect(await write(folder)).toBe("STORE_IS_DIRECTORY");
    expect(await read(folder)).toBe("STORE_IS_DIRECTORY");
  });
  test("no file to read, no folder to write to", async () => {
    expect(await read(join(folder, "absent.db"))).toBe("STORE_NOT_FOUND");
    expect(await write(join(folder, "absent", "x.db"))).toBe("STORE_CANNOT_CREATE");
    expect(existsSync(join(folder, "absent.db"))).toBe(false);
  });
  test("a text file, an empty file, a file that only starts like one", async () => {
    const [text, empty, cut] = [fresh(), fresh(), fresh()];
    writeFileSync(text, "this is a letter, not a database");
    writeFileSync(empty, "");
    writeFileSync(cut, `SQLite format 3\0${"x".repeat(200)}`);
    expect(await write(text)).toBe("STORE_NOT_SQLITE");
    expect(await read(empty)).toBe("STORE_NOT_SQLITE");
    expect(await write(cut)).toBe("STORE_NOT_SQLITE");
    expect(await write(empty)).toBe("nothing went wrong");
  });
  test("another program's database is left as it is", async () => {
    const path = made(fresh(), "CREATE TABLE theirs (a)");
    expect(await write(path)).toBe("STORE_FOREIGN");
    expect(await read(path)).toBe("STORE_FOREIGN");
    const db = new Database(path);
    expect(db.prepare("SELECT name FROM sqlite_schema").pluck().all()).toEqual(["theirs"]);
    db.close();
  });
  test("a newer version", async () => {
    const path = made(
      fresh(),
      `PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion + 1}; CREATE TABLE t (a)`,
    );
    expect(await write(path)).toBe("STORE_NEWER");
    expect(await read(path)).toBe("STORE_NEWER");
  });
  test("a damaged file", async () => {
    const path = fresh();
    openForWriting(path).close();
    const bytes = Buffer.alloc(20_000, 0xff);
    const db = new Database(path);
    db.pragma("journal_mode = DELETE");
    db.close();
    execFileSync("dd", [`of=${path}`, "bs=1", "seek=100", "conv=notrunc", "status=none"], { input: bytes });
    expect(await read(path)).toBe("STORE_DAMAGED");
  });
  test("another writer holds the lock", async () => {
    const path = fresh();
    const writer = await StoreWriter.open(path, { busyMs: 50 });
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    expect(await codeOf(() => writer.beginRun({ source: "a", options: {} }))).toBe("STORE_LOCKED");
    other.exec("ROLLBACK");
    other.close();
    await writer.close();
  });

  // Mounts are made in a private mount namespace, which needs root, as the project's tests do.
  const inNamespace = (mounts: string, script: string): string => {
    const program = join(folder, "mounted.mts");
    writeFileSync(program, script);
    return execFileSync("unshare", ["-m", "sh", "-c", `${mounts} && exec "$0" "$1"`, process.execPath, program], {
      encoding: "utf8",
    });
  };
  const imports = `
    import { StoreWriter } from "#store/writer.ts";
    import { StoreReader } from "#store/reader.ts";
    import { flowBatch } from "#store/made-records.ts";`.replaceAll("#store/", new URL("./", import.meta.url).href);

  test("a full disk: the run stays incomplete, and what was written before is kept", () => {
    const disk = join(folder, "small");
    mkdirSync(disk);
    const out = inNamespace(
      `mount -t tmpfs -o size=1m tmpfs ${disk}`,
      `${imports}
      const path = "${disk}/x.db";
      const writer = await StoreWriter.open(path);
      await writer.beginRun({ source: "a", options: {} });
      let code = "none";
      try {
        for (let packet = 1; packet < 100000; packet += 100)
          await writer.write(flowBatch(Array.from({ length: 100 }, (_, i) => ({ packet: packet + i, protocol: "esp", firstNs: 1n, lastNs: 2n, packets: 2, bytes: 200 }))));
      } catch (error) { code = error.code; }
      try { await writer.close(); } catch (error) { code += "+" + error.code; }
      const reader = await StoreReader.open(path);
      const [run] = await reader.ask("runs", 1, null);
      const [total] = await reader.ask("totals", [1]);
      await reader.close();
      console.log(code, run.complete, total.flows > 0, total.flows % 100);`,
    );
    expect(out.trim()).toMatch(/^STORE_DISK_FULL(\+STORE_DISK_FULL)? 0 true 0$/);
  });

  test("a read-only disk: writing is refused, reading works", () => {
    const disk = join(folder, "readonly");
    mkdirSync(disk);
    finish(openForWriting(join(disk, "x.db")));
    openForWriting(join(disk, "open.db")).close();
    const out = inNamespace(
      `mount --bind ${disk} ${disk} && mount -o remount,ro,bind ${disk}`,
      `${imports}
      for (const name of ["x.db", "new.db"]) await StoreWriter.open("${disk}/" + name).then(() => console.log("opened"), (error) => console.log(error.code));
      const reader = await StoreReader.open("${disk}/x.db");
      console.log((await reader.ask("runs", 10, null)).length);
      await reader.close();
      await StoreReader.open("${disk}/open.db").catch((error) => console.log(error.code));`,
    );
    expect(out.trim().split("\n")).toEqual(["STORE_READ_ONLY", "STORE_CANNOT_CREATE", "0", "STORE_READ_ONLY"]);
  });
});
