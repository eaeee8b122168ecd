import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "nats";
import { expect, test } from "vitest";
import type { FindingPublisher } from "#bus/findings.ts";
import { findingStream, findingSubject } from "#domain/subjects.ts";
import { NatsServer } from "./nats-server.ts";
import { gap, numbersOf, place, reader, SensorEnd, stored, until } from "./sensor-end.ts";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);
const balanced = ({ figures }: FindingPublisher): void =>
  expect(figures.acknowledged + figures.waiting + figures.overflowed).toBe(figures.accepted);
const settled = (publisher: FindingPublisher): Promise<void> =>
  until("all acknowledged", () => {
    balanced(publisher);
    return publisher.figures.waiting === 0;
  });

test("findings arrive in the fleet's stream, in order, on the sensor's own subject", async () => {
  await using server = await NatsServer.start();
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  for (const n of range(0, 5000)) publisher.add(gap(n)); // before it is connected
  await settled(publisher);
  const session = await reader(server.url);
  const { batches, ids } = await stored(session);
  expect(numbersOf(batches)).toEqual(range(0, 5000));
  expect(batches.map(({ batch }) => batch)).toEqual(range(1, batches.length + 1));
  expect(ids).toEqual(batches.map(({ run, batch }) => `${run}-${batch}`));
  const info = await (await session.jetstreamManager()).streams.info(findingStream(place.fleet), {
    subjects_filter: ">",
  });
  expect(Object.keys(info.state.subjects ?? {})).toEqual([findingSubject(place)]);
  expect(info.config).toMatchObject({ max_age: 7 * 86400e9, max_bytes: 1 << 28, discard: "old" });
  expect(publisher.figures).toMatchObject({ accepted: 5000, acknowledged: 5000, overflowed: 0, retries: 0 });
  expect(end.raised).toEqual([]);
  await session.close();
});

test.each(["SIGTERM", "SIGKILL"] as const)(
  "NATS is away for some seconds (%s): what the buffer holds arrives once and in order, what it did not hold is counted",
  async (signal) => {
    await using server = await NatsServer.start();
    await using end = new SensorEnd(server.url);
    const publisher = end.publisher({ limits: { count: 1000, bytes: 1 << 26 } });
    await end.connected();
    let n = 0;
    const add = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        publisher.add(gap(n++));
        balanced(publisher);
        if (i % 50 === 49) await sleep(5); // the server goes while batches are on their way
      }
    };
    await add(500);
    const going = add(500);
    await server.down(signal);
    await going;
    await add(2000);
    expect(publisher.figures.waiting).toBe(1000);
    expect(end.connection.session).toBeUndefined();
    await sleep(2000);
    await server.up();
    await settled(publisher);
    await add(300);
    await settled(publisher);

    const session = await reader(server.url);
    const { batches } = await stored(session);
    await session.close();
    const numbers = numbersOf(batches);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(publisher.figures.overflowed).toBe(3300 - numbers.length);
    expect(publisher.figures.overflowed).toBeGreaterThan(500);
    expect(publisher.figures.acknowledged).toBe(numbers.length);
    // A reader can tell from the messages alone.
    expect(batches.at(-1)?.overflowed).toBe(publisher.figures.overflowed);
    expect(batches.map(({ batch }) => batch)).toEqual(range(1, batches.length + 1));
    expect(end.connection.state).toMatchObject({ state: "connected", reconnects: 1 });
    expect(end.conditions.list()).toEqual([]);
  },
);

test("a server that stops answering, and goes on later, stores nothing twice", async () => {
  await using server = await NatsServer.start();
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher({ acknowledgeMs: 200 });
  await end.connected();
  publisher.add(gap(0));
  await settled(publisher);
  server.freeze();
  for (const n of range(1, 2000)) publisher.add(gap(n));
  await until("told", () => end.raised.includes("BUS_STREAM_REFUSED"));
  server.thaw();
  await settled(publisher);
  const session = await reader(server.url);
  expect(numbersOf((await stored(session)).batches)).toEqual(range(0, 2000));
  await session.close();
  expect(publisher.figures.duplicates).toBeGreaterThan(0);
  expect(end.conditions.list()).toEqual([]);
});

test("without JetStream findings wait and it is said; when it comes they arrive", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher({ pauseMs: [60_000, 60_000] }); // which a new connection cuts short
  for (const n of range(0, 10)) publisher.add(gap(n));
  await until("told", () => end.raised.includes("BUS_NO_JETSTREAM"));
  expect(publisher.figures.waiting).toBe(10);
  await server.down();
  await server.up(`jetstream { store_dir: "${server.dir}/js" }`);
  await settled(publisher);
  expect(end.conditions.list()).toEqual([]);
});

test("an answer that is not a stream's acknowledges nothing", async () => {
  await using server = await NatsServer.start({
    config:
      "authorization { users: [ { user: u, password: p, permissions: { publish: [ 'tapline.>' ], subscribe: [ '_INBOX.>' ] } }, { user: admin, password: admin } ] }",
  });
  const session = await connect({ servers: server.url, user: "admin", pass: "admin" });
  session.subscribe("tapline.>", { callback: (_error, message) => void message.respond("{}") });
  await session.flush();
  const path = `${server.dir}/user`;
  writeFileSync(path, "u:p");
  await using end = new SensorEnd(server.url, { credentials: { kind: "user", path } });
  const publisher = end.publisher();
  publisher.add(gap(0));
  await until("told", () => end.raised.includes("BUS_STREAM_REFUSED"));
  expect(publisher.figures).toMatchObject({ acknowledged: 0, waiting: 1 });
  await session.close();
});

test("a stream that was deleted is made again", async () => {
  await using server = await NatsServer.start();
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  publisher.add(gap(0));
  await settled(publisher);
  const session = await reader(server.url);
  await (await session.jetstreamManager()).streams.delete(findingStream(place.fleet));
  publisher.add(gap(1));
  await settled(publisher);
  expect(numbersOf((await stored(session)).batches)).toEqual([1]);
  await session.close();
});

test("a stream of another configuration is used as it is", async () => {
  await using server = await NatsServer.start();
  const session = await reader(server.url);
  const manager = await session.jetstreamManager();
  await manager.streams.add({ name: "EVERYTHING", subjects: ["tapline.>"] });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  publisher.add(gap(0));
  await settled(publisher);
  expect(numbersOf((await stored(session)).batches)).toEqual([0]);
  expect((await manager.streams.info("EVERYTHING")).config.subjects).toEqual(["tapline.>"]);
  await session.close();
});

test("a full stream that refuses is told, and findings arrive when it has room", async () => {
  await using server = await NatsServer.start();
  const session = await reader(server.url);
  const manager = await session.jetstreamManager();
  const { config } = await manager.streams.add({
    name: findingStream(place.fleet),
    subjects: ["tapline.>"],
    max_msgs: 1,
    discard: "new" as never,
  });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  publisher.add(gap(0));
  await settled(publisher);
  publisher.add(gap(1));
  await until("told", () => end.raised.includes("BUS_STREAM_REFUSED"));
  expect(end.conditions.list()[0]?.message).toContain("maximum messages exceeded");
  await manager.streams.update(config.name, { ...config, max_msgs: 100 });
  await settled(publisher);
  expect(numbersOf((await stored(session)).batches)).toEqual([0, 1]);
  expect(end.conditions.list()).toEqual([]);
  await session.close();
});

test("while one batch is refused none overtakes it", async () => {
  await using server = await NatsServer.start();
  const session = await reader(server.url);
  const manager = await session.jetstreamManager();
  const { config } = await manager.streams.add({
    name: findingStream(place.fleet),
    subjects: ["tapline.>"],
    max_bytes: 50_000,
    discard: "new" as never,
  });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  publisher.add(gap(0));
  await settled(publisher);
  publisher.add(gap(1, "x".repeat(60_000))); // there is no room for this one
  await until("told", () => end.raised.includes("BUS_STREAM_REFUSED"));
  publisher.add(gap(2)); // and there would be for this one
  const { retries } = publisher.figures;
  await until("tried again", () => publisher.figures.retries > retries + 1);
  await manager.streams.update(config.name, { ...config, max_bytes: 1_000_000 });
  await settled(publisher);
  expect(numbersOf((await stored(session)).batches)).toEqual([0, 1, 2]);
  await session.close();
});

test("batches fit into what the server takes, also when it takes less after a restart", async () => {
  await using server = await NatsServer.start({ config: "max_payload: 100000" });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher({ acknowledgeMs: 300 });
  for (const n of range(0, 1000)) publisher.add(gap(n));
  await settled(publisher);
  server.freeze(); // batches of up to 100 kB are on their way, and stay unacknowledged
  for (const n of range(1000, 2000)) publisher.add(gap(n));
  await until("not acknowledged", () => end.raised.includes("BUS_STREAM_REFUSED"));
  await server.down("SIGKILL");
  await server.up("max_payload: 20000");
  publisher.add(gap(2000, "x".repeat(20_000))); // alone it is too large: it never leaves, and is counted
  publisher.add(gap(2001));
  await settled(publisher);
  const session = await reader(server.url);
  const { batches } = await stored(session);
  expect([...new Set(numbersOf(batches))].toSorted((a, b) => a - b)).toEqual([...range(0, 2000), 2001]);
  expect(publisher.figures.overflowed).toBe(1);
  expect(batches.at(-1)?.overflowed).toBe(1);
  await session.close();
});

test("a stream that takes small messages only gets small ones", async () => {
  await using server = await NatsServer.start();
  const session = await reader(server.url);
  const manager = await session.jetstreamManager();
  await manager.streams.add({ name: findingStream(place.fleet), subjects: ["tapline.>"], max_msg_size: 40_000 });
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher();
  for (const n of range(0, 3000)) publisher.add(gap(n));
  await settled(publisher);
  expect(numbersOf((await stored(session)).batches)).toEqual(range(0, 3000));
  await session.close();
});

test("draining sends what waits at once, and ends in time when NATS is away", async () => {
  await using server = await NatsServer.start();
  await using end = new SensorEnd(server.url);
  const publisher = end.publisher({ batchMs: 60_000 });
  await end.connected();
  for (const n of range(0, 100)) publisher.add(gap(n));
  await publisher.drain(5000);
  expect(publisher.figures).toMatchObject({ acknowledged: 100, waiting: 0 });

  const late = end.publisher({ batchMs: 60_000 });
  await server.down();
  late.add(gap(0));
  const began = performance.now();
  await late.drain(300);
  expect(performance.now() - began).toBeLessThan(2000);
  expect(late.figures).toMatchObject({ accepted: 1, waiting: 1 });
});
