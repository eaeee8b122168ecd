// An interface that is taken out and in again, 50 times under traffic, while figures are read: sums are exact, no figure falls.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Agent, Desk } from "./agent.ts";
import { words } from "./driven.ts";
import { Network } from "./network.ts";

interface Row {
  readonly interface: string;
  readonly seen: number;
  readonly delivered: number;
  readonly tracked: number;
  readonly ring_drops: number;
  readonly residue: number;
  readonly bytes?: number;
  readonly live: { readonly state: string };
}
const counted = ["seen", "delivered", "tracked"] as const;

/** The highest each figure was; a reading below it is a fall. */
class Heights {
  readonly #highest = new Map<string, number>();
  readonly falls: string[] = [];
  readings = 0;

  see(name: string, value: number): void {
    this.readings++;
    const before = this.#highest.get(name) ?? 0;
    if (value < before) this.falls.push(`${name}: ${before} → ${value}`);
    else this.#highest.set(name, value);
  }
}

describe("an interface that comes and goes", { timeout: 120_000 }, () => {
  test("50 times under traffic: every packet sent while it was watched is counted once, and no counter ever falls", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await network.connect("near2", "far2");
    const both = desk.config(network, { interfaces: [{ name: "far" }, { name: "far2" }] });
    await using agent = await Agent.start(network, desk, both);
    const heights = new Heights();
    const limits = new Map<string, number>();
    const read = async (): Promise<void> => {
      const { interfaces } = await agent.json<{ interfaces: Row[] }>("/api/v1/ledger");
      for (const row of interfaces)
        for (const figure of counted) {
          heights.see(`${row.interface} ${figure}`, row[figure]);
          const most = limits.get(row.interface) ?? 0;
          if (row[figure] > most) heights.falls.push(`${row.interface} ${figure}: ${row[figure]} of ${most}`);
        }
      const { text } = await agent.ask("/metrics", 9464);
      for (const [, name, value] of text.matchAll(/^(\w+_total(?:\{[^}]*\})?) (\S+)$/gm))
        heights.see(name ?? "", Number(value));
      const report = await agent.json<{ interfaces: Row[] }>("/api/v1/report");
      for (const figure of counted)
        heights.see(
          `report ${figure}`,
          report.interfaces.reduce((sum, row) => sum + row[figure], 0),
        );
    };
    let reading = true;
    const reader = (async () => {
      while (reading) await read();
    })();

    limits.set("far", Infinity);
    const steady = network.send(...words("--seconds 30 --flows 200 --loss 0.001 --pps 20000 --size 200"));
    const watched = async (): Promise<boolean> => {
      const { interfaces } = await agent.json<{ interfaces: Row[] }>("/api/v1/ledger");
      return interfaces.find((row) => row.interface === "far2")?.live.state === "watching";
    };
    const each = 3000;
    for (let i = 0; i < 50; i++) {
      await agent.until("it is watched", watched);
      limits.set("far2", (i + 1) * each);
      const { sent } = await network.sendOn("near2", ...words(`--packets ${each} --flows 100 --kind esp --size 200`));
      expect(sent).toBe(each);
      // Out again at once, while its last packets lie in the ring.
      await agent.reload({ ...both, interfaces: [{ name: "far" }] });
      await agent.until("it is not watched", async () => !(await watched()));
      await agent.reload(both);
    }
    const sent = await steady;
    limits.set("far", sent.sent);
    await sleep(1500);
    reading = false;
    await reader;
    await read();
    const { interfaces } = await agent.json<{ interfaces: Row[] }>("/api/v1/ledger");
    expect(interfaces).toMatchObject([
      { interface: "far", seen: sent.sent, delivered: sent.sent, ring_drops: 0, residue: 0 },
      { interface: "far2", seen: 50 * each, delivered: 50 * each, tracked: 50 * each, ring_drops: 0, residue: 0 },
    ]);
    for (const [name, packets] of [
      ["far", sent.sent],
      ["far2", 50 * each],
    ] as const)
      expect(await agent.metric(`tapline_sensor_seen_packets_total{interface="${name}"}`)).toBe(packets);
    expect(heights.falls).toEqual([]);
    expect(heights.readings).toBeGreaterThan(10_000);
    expect(await agent.end()).toBe(0);
  });
});
