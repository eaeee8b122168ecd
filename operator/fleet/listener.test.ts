// What is kept of reports, and for how long.
import { expect, test } from "vitest";
import { relayReportSubject, reportSubject } from "#domain/subjects.ts";
import { FleetListener } from "./listener.ts";
import { relayReport, sensorReport } from "./made-reports.ts";

const at = Date.parse("2026-11-21T10:00:00Z");
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

class Fleet {
  readonly nodes = new Set(["node-1", "node-2"]);
  readonly pools = new Set(["edge"]);
  readonly listener = new FleetListener({
    fleet: "prod",
    knowsNode: (node) => this.nodes.has(node),
    knowsPool: (pool) => this.pools.has(pool),
    now: () => at,
    monotonic: () => 0,
  });

  tell(node: string, sequence = 1): void {
    const place = { fleet: "prod", node };
    this.listener.hear(relayReportSubject(place), bytes({ ...relayReport, node, sequence }));
    this.listener.hear(reportSubject({ ...place, pool: "edge" }), bytes({ ...sensorReport, node, sequence }));
  }
}

test("books are kept of nodes and pools that are there, and of no others", () => {
  const fleet = new Fleet();
  fleet.tell("node-1");
  fleet.tell("node-2");
  expect(fleet.listener.taken).toBe(4);
  fleet.nodes.delete("node-2");
  fleet.listener.forgetStrangers();
  const { relays, sensors } = fleet.listener;
  expect([relays.get("node-1"), sensors.get("edge", "node-1")]).not.toContain(undefined);
  expect([relays.get("node-2"), sensors.get("edge", "node-2")]).toEqual([undefined, undefined]);
  fleet.pools.delete("edge");
  fleet.listener.forgetStrangers();
  expect(sensors.get("edge", "node-1")).toBeUndefined();
  expect(relays.get("node-1")).toBeDefined();
});

test("what is not believed is news once", () => {
  const fleet = new Fleet();
  fleet.tell("ghost");
  fleet.tell("node-1");
  fleet.tell("node-1");
  expect(fleet.listener.refusals.news()).toMatchObject([
    { reason: "unknown_node", reports: 2, nodes: [{ node: "ghost" }] },
    { reason: "behind", reports: 2, nodes: [{ node: "node-1" }] },
  ]);
  expect(fleet.listener.refusals.news()).toEqual([]);
  fleet.tell("ghost", 2);
  expect(fleet.listener.refusals.news()).toMatchObject([{ reason: "unknown_node", reports: 2 }]);
});
