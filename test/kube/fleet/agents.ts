// The agents of a made-up fleet, as one process: `node agents.ts '{"url": …, "shape": …}'`. Each second a report of each sensor and relay, spread over the second, by the
// publishers that real agents have; plans taken as relays take them. Enters: orders on stdin, one JSON line each. Leaves: an answer to each on stdout.
import { createPublicKey } from "node:crypto";
import { createInterface } from "node:readline";
import { ReportPublisher } from "#bus/reports.ts";
import { relayReportSubject, reportSubject } from "#domain/subjects.ts";
import { SensorEnd } from "../../bus/sensor-end.ts";
import { relayReport, sensorReport } from "./agent-reports.ts";
import { fleet, type FleetShape, nodeName, poolName, poolOf } from "./made-fleet.ts";
import type { Order, Standing } from "./orders.ts";
import { PlanFollower } from "./plan-follower.ts";
import { numbers, relayNodes, Traffic } from "./traffic.ts";

const { url, shape } = JSON.parse(process.argv[2] ?? "") as { url: string; shape: FleetShape };
/** A connection of its own for so many sensors, and one for the relays. */
const connections = 4;
const tickMs = 20;
const ticks = 1000 / tickMs;

const traffic = new Traffic(shape, () => performance.now());
const ends = numbers(connections + 1).map(() => new SensorEnd(url));
const relayEnd = ends[connections] as SensorEnd;
let follower: PlanFollower | undefined;
let sequence = 0;

const publishers = (nodes: readonly number[], end: (node: number) => SensorEnd, subject: (node: number) => string) =>
  nodes.map((node) => {
    const { connection, conditions } = end(node);
    return { node, publisher: new ReportPublisher(connection, conditions, subject(node)) };
  });
const sensors = publishers(numbers(shape.nodes), (node) => ends[node % connections] as SensorEnd, (node) => reportSubject({ fleet, pool: poolName(poolOf(node, shape)), node: nodeName(node) })); // biome-ignore format: one call
const relays = publishers(relayNodes(shape), () => relayEnd, (node) => relayReportSubject({ fleet, node: nodeName(node) })); // biome-ignore format: one call

function beat(tick: number): void {
  if (tick % ticks === 0) sequence++;
  for (let i = tick % ticks; i < sensors.length; i += ticks) {
    const { node, publisher } = sensors[i] as (typeof sensors)[number];
    publisher.publish(sensorReport(node, shape, traffic, sequence));
  }
  // The two agents of a node are started apart.
  for (let i = (tick + ticks / 2) % ticks; i < relays.length; i += ticks) {
    const { node, publisher } = relays[i] as (typeof relays)[number];
    const running = follower?.running(node) ?? { generation: 0, digest: null, rules: [] };
    publisher.publish(relayReport(node, shape, traffic, running, sequence));
  }
}

const begun = performance.now();
let done = 0;
setInterval(() => {
  const due = Math.floor((performance.now() - begun) / tickMs);
  // A process that did not get its CPU for seconds does not tell what it would have told then.
  done = Math.max(done, due - ticks);
  for (; done < due; done++) beat(done);
}, tickMs);

function standing(): Standing {
  const figures = [...sensors, ...relays].map(({ publisher }) => publisher.figures);
  return {
    connected: ends.every(({ connection }) => connection.state.state === "connected"),
    planned: follower?.planned ?? 0,
    refused: follower?.refused ?? [],
    sent: figures.reduce((sum, { sent }) => sum + sent, 0),
    unsent: figures.reduce((sum, { unsent }) => sum + unsent, 0),
  };
}

function obey(order: Order): object {
  switch (order.do) {
    case "follow": {
      const following = new PlanFollower(createPublicKey(order.key), relayNodes(shape));
      follower = following;
      relayEnd.connection.onSession((session) => void following.follow(session));
      return {};
    }
    case "begin":
      traffic.begin();
      return {};
    case "pause":
      traffic.pause();
      return {};
    case "lose at a sensor":
      traffic.sensorLoses(order.node, order.packets);
      return { at: Date.now() };
    case "lose on the way":
      traffic.wayLoses(order.rule, order.edge, order.packets);
      return { at: Date.now() };
    case "say":
      return standing();
    case "tell the truth":
      return traffic.truth();
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => process.stdout.write(`${JSON.stringify(obey(JSON.parse(line) as Order))}\n`));
lines.once("close", () => process.exit(0));
