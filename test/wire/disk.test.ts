// An agent and a disk that has no room: on a small tmpfs.
import { execFile } from "node:child_process";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { Agent, type Config, Desk } from "./agent.ts";
import { database, ledger } from "./books.ts";
import { words } from "./driven.ts";
import { Network, type Sent } from "./network.ts";

const run = promisify(execFile);

const traffic = words("--packets 60000 --flows 20000 --loss 0.01 --pps 100000");
/** Keeps what it wrote for so many days. */
const keeping = (network: Network, desk: Desk, path: string, days: number): Config =>
  desk.config(network, {
    store: { path, retention: { days } },
    analysis: { settle: "100ms", idleTimeout: "1s" },
  });

describe("an agent on a small disk", { timeout: 60_000 }, () => {
  test("a disk that is full stops the writing, not the capture; it is said, and writing resumes", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const disk = join(desk.folder, "disk");
    await run("mkdir", [disk]);
    await run("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", disk]);
    try {
      const path = join(disk, "sensor.db");
      await using agent = await Agent.start(
        network,
        desk,
        desk.config(network, { store: { path }, analysis: { settle: "100ms", idleTimeout: "1s" } }),
      );
      const sent: Sent[] = [];
      for (let i = 0; i < 20; i++) {
        sent.push(
          await network.send(...words(`--packets 40000 --flows 4000 --loss 0.01 --pps 200000 --first ${1 + i * 20}`)),
        );
        if ((await agent.ask("/api/v1/report")).text.includes("STORE_DISK_FULL")) break;
        await sleep(1200); // the flows end, and are written
      }
      await agent.until("it is said", async () => (await agent.ask("/api/v1/report")).text.includes("STORE_DISK_FULL"));
      expect((await agent.ask("/readyz", 9464)).text).toContain("store: full");
      const total = sent.reduce((sum, one) => sum + one.sent, 0);
      await agent.until("capture goes on", async () => (await ledger(agent)).delivered === total);
      await run("mount", ["-o", "remount,size=256m", disk]);
      await agent.until("writing resumes", async () => (await agent.ask("/readyz", 9464)).status === 200, 15);
      expect(await agent.end()).toBe(0);
      expect(database(path)).toMatchObject({ sound: "ok", packets: total, lost: expect.any(Number) as number });
    } finally {
      await run("umount", [disk]);
    }
  });

  test("ended while nothing can be written it ends all the same, and says what it left", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const disk = join(desk.folder, "disk");
    await run("mkdir", [disk]);
    await run("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]);
    try {
      const config = desk.config(network, { store: { path: join(disk, "sensor.db") } });
      await using agent = await Agent.start(network, desk, config);
      const sent = await network.send(...words("--packets 60000 --flows 20000 --pps 200000"));
      await agent.until("all is taken", async () => (await ledger(agent)).delivered === sent.sent);
      expect(await agent.ended("SIGTERM")).toBe(1);
      const left = agent.log.find(({ message }) => message === "left results unwritten");
      expect(left?.["flows"]).toBeGreaterThan(10_000);
    } finally {
      await run("umount", [disk]);
    }
  });

  test("a disk that is full when retention is due: nothing is half deleted, it is told; with room what is old goes, and that is over", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const disk = join(desk.folder, "disk");
    await mkdir(disk);
    await run("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", disk]);
    try {
      const path = join(disk, "sensor.db");
      await using agent = await Agent.start(network, desk, keeping(network, desk, path, 7));
      const sent = await network.send(...traffic);
      await agent.until("all flows are stored", () => database(path).packets === sent.sent);
      const ballast = join(disk, "ballast");
      const { bavail, bsize } = await statfs(disk);
      await writeFile(ballast, Buffer.alloc(bavail * bsize));

      await agent.reload(keeping(network, desk, path, 0.00001)); // all of it is too old
      await agent.until("it is told", () => agent.told("raised", "STORE_DISK_FULL") !== undefined);
      await sleep(2000);
      expect(database(path)).toMatchObject({ sound: "ok", packets: sent.sent, gaps: sent.gaps });
      expect(agent.told("cleared", "STORE_DISK_FULL")).toBeUndefined();

      await rm(ballast);
      await agent.until("it is over", () => agent.told("cleared", "STORE_DISK_FULL") !== undefined, 20);
      await agent.until("what is old is gone", () => database(path).flows === 0);
      expect(await agent.end()).toBe(0);
      expect(database(path)).toMatchObject({ sound: "ok", complete: 1, seen: sent.sent });
    } finally {
      await run("umount", [disk]);
    }
  });

  test("retention that fails alone is a warning while writing goes on, and over once it can delete", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const path = desk.database;
    await using agent = await Agent.start(network, desk, keeping(network, desk, path, 7));
    const sent = await network.send(...traffic);
    await agent.until("all flows are stored", () => database(path).packets === sent.sent);
    const somebody = (sql: string): void => void new Database(path).exec(sql).close();
    somebody("CREATE TRIGGER keep BEFORE DELETE ON flows BEGIN SELECT RAISE(ABORT, 'somebody keeps them'); END");
    await agent.reload(keeping(network, desk, path, 0.00001));
    await agent.until("it is told", () => agent.told("raised", "STORE_FAILED") !== undefined);
    expect(agent.told("raised", "STORE_FAILED")).toMatchObject({
      severity: "warning",
      about: path,
      detail: expect.stringContaining("somebody keeps them") as string,
    });
    const { store } = await agent.json<{ store: { state: string } }>("/api/v1/report");
    expect(store.state).toBe("writing");
    expect((await agent.ready()).status).toBe(200);

    somebody("DROP TRIGGER keep");
    await agent.until("it is over", () => agent.told("cleared", "STORE_FAILED") !== undefined);
    await agent.until("what is old is gone", () => database(path).flows === 0);
    expect(await agent.end()).toBe(0);
  });
});
