// What an agent leaves on the disk is its own user's: the database, its log, live files, state. And secrets that are none are told of.
import { chmod, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Agent, Desk } from "./agent.ts";
import { words } from "./driven.ts";
import { Network } from "./network.ts";

describe("an agent's files", { timeout: 60_000 }, () => {
  test("are read and written by nobody else, though the umask it began with allows all", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const state = join(desk.folder, "made", "state");
    const path = join(state, "sensor.db");
    await using agent = await Agent.launchAs(
      ["sh", "-c", 'umask 0; exec "$@"', "sh"],
      network,
      desk,
      desk.config(network, {
        store: { path },
        pinning: { policy: "NicLocal", irq: "Manage" },
        nats: { url: "nats://127.0.0.1:4222" },
      }),
    );
    await agent.until("it is ready", async () => (await agent.ready().catch(() => ({ status: 0 }))).status === 200);
    await network.send(...words("--packets 20000 --flows 2000 --loss 0.01 --pps 50000"));
    const names = (): Promise<string[]> => readdir(state);
    // The database, its write-ahead log and index, a live file, locks, what pinning has to undo.
    await agent.until("all are there", async () => {
      const there = (await names()).join(" ");
      return /sensor\.db-wal/.test(there) && /live/.test(there) && /pinning\.json/.test(there);
    });
    const open = async (): Promise<string[]> => {
      const found = await Promise.all(
        [".", ...(await names())].map(async (name) => {
          const { mode } = await stat(join(state, name));
          return (mode & 0o077) === 0 ? [] : [`${name} ${(mode & 0o777).toString(8)}`];
        }),
      );
      return found.flat();
    };
    expect((await names()).length).toBeGreaterThanOrEqual(5);
    expect(await open()).toEqual([]);
    expect(await agent.end()).toBe(0);
    expect(await open()).toEqual([]);
  });

  test("of secrets: one that everybody may read is told of at the start and at a reload, one that is its own is not", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const token = join(desk.folder, "token");
    await writeFile(token, "a token of more than sixteen characters");
    await chmod(token, 0o644);
    const config = desk.config(network, { api: { tokenFile: token } });
    await using agent = await Agent.start(network, desk, config);
    const warnings = () =>
      agent.log.filter(({ message }) => message === "found a secret that others may read or write");
    expect(warnings()).toMatchObject([
      {
        severity: "warning",
        error: { code: "SECRET_EXPOSED", message: `${token} can be read by every user of this machine` },
      },
    ]);
    const reloaded = (times: number) => () =>
      agent.log.filter(({ message }) => message === "reloaded the configuration").length === times;
    await agent.reload({ ...config, analysis: { settle: "1s" } });
    await agent.until("it is reloaded", reloaded(1));
    expect(warnings()).toHaveLength(2);
    await chmod(token, 0o600);
    await agent.reload(config);
    await agent.until("it is reloaded", reloaded(2));
    expect(warnings()).toHaveLength(2);
    expect(await agent.end()).toBe(0);
  });
});
