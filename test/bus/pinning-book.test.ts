// The operator's questions about pinning, over a real NATS: who is asked, how often, and what is kept of the answers.
import { connect } from "nats";
import { expect, test } from "vitest";
import { QueryService } from "#bus/queries.ts";
import type { PinningReport } from "#domain/pinning.ts";
import { PinningBook } from "#operator/fleet/pinning-book.ts";
import { recordedLog } from "../kube/parts.ts";
import { NatsServer } from "./nats-server.ts";
import { place, SensorEnd, service, until } from "./sensor-end.ts";

const report: PinningReport = { policy: "NicLocal", irq: "Observe", online_cpus: "0-1", allowed_cpus: "0-1", isolated_cpus: "", numa_nodes: [{ node: 0, cpus: "0-1" }], irqbalance: null, interfaces: [], drift: [], drift_cause: null, drifts: 0, reapplied: 0, restored_at_start: [] }; // biome-ignore format: one object

test("each sensor that reports is asked once a minute; one that says nonsense or nothing keeps what it said before, and one that is gone is forgotten", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using end = new SensorEnd(server.url);
  let answer: unknown = report;
  const asked: string[] = [];
  const sensor = new QueryService({ connection: end.connection, service: service(place), version: "0.1.0", answer: async (path) => {
    asked.push(path);
    return { status: 200, type: "application/json", body: Buffer.from(JSON.stringify(answer)) };
  } }); // biome-ignore format: one call
  const session = await connect({ servers: server.url });
  const { log, lines } = recordedLog();
  const book = new PinningBook(place.fleet, log);
  const mute = { pool: "edge", node: "mute" };
  await until("the service answers", async () => {
    await new PinningBook(place.fleet, log).look(session, [place], 0);
    return asked.length > 0;
  });
  lines.length = 0;
  asked.length = 0;

  await book.look(session, [place, mute], 0);
  expect(book.get(place)?.pinning).toMatchObject({ policy: "NicLocal", items: [], drift: [] });
  expect(book.get(mute)).toBeUndefined();
  expect(lines).toMatchObject([{ severity: "debug", values: { node: "mute", error: { code: "BUS_UNANSWERED" } } }]);
  await book.look(session, [place, mute], 59_999);
  expect(asked).toEqual(["/api/v1/pinning"]);

  answer = { policy: "whatever" };
  await book.look(session, [place], 60_000);
  expect(asked).toHaveLength(2);
  expect(book.get(place)?.pinning.policy).toBe("NicLocal");
  answer = { ...report, policy: "None" };
  await book.look(session, [place], 120_000);
  expect(book.get(place)?.pinning.policy).toBe("None");
  await book.look(session, [mute], 120_001);
  expect(book.get(place)).toBeUndefined();
  await sensor.drain(1000);
  await session.close();
});
