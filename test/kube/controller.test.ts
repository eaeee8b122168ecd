// A whole controller on a real apiserver: from a change to what follows from it, over faults; one that fails is tried again, one that ends drains.
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTraces } from "#process/traces.ts";
import { Applier } from "#operator/runtime/apply.ts";
import type { KubeClient } from "#operator/runtime/client.ts";
import { changesOf, Controller, type ControllerOptions, specChanged } from "#operator/runtime/controller.ts";
import { Reflector } from "#operator/runtime/reflector.ts";
import { eventually } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { FaultyWay } from "./faulty-way.ts";
import {
  type ConfigMap,
  configMap,
  configMaps,
  direct,
  type Figures,
  makeClient,
  makeFigures,
  recordedLog,
  through,
} from "./parts.ts";

let alone: ApiserverAlone;
beforeAll(async () => {
  alone = await ApiserverAlone.start();
}, firstStartMs);
afterAll(() => alone[Symbol.asyncDispose]());

let way: FaultyWay;
let ending: AbortController;
let running: Promise<unknown>[];
let figures: Figures;
let kube: KubeClient;
let recorded: ReturnType<typeof recordedLog>;
let round = 0;
let namespace: string;
beforeEach(async () => {
  way = await FaultyWay.to(alone);
  ending = new AbortController();
  running = [];
  figures = makeFigures();
  recorded = recordedLog();
  kube = makeClient(through(way.url), { metrics: figures.metrics, fieldManager: "tapline-operator", timeoutMs: 3000 });
  namespace = `round-${++round}`;
  await alone.kubectl.run("create", "namespace", namespace);
});
afterEach(async () => {
  ending.abort();
  await Promise.all(running);
  await way[Symbol.asyncDispose]();
});

const straight = () => makeClient(direct(alone.kubeconfig), { fieldManager: "person" });
const write = (name: string, data: Record<string, string>) =>
  straight().apply(configMaps, configMap(name, data, namespace), { force: true });

function reflect(labels: string | undefined): Reflector<ConfigMap> {
  const common = { client: kube, resource: configMaps, namespace, labels, metrics: figures.metrics, log: recorded.log };
  const reflector = new Reflector({ ...common, backoff: { firstMs: 10, longestMs: 200 } });
  running.push(reflector.run(ending.signal));
  return reflector;
}
function control(options: Pick<ControllerOptions<ConfigMap>, "reconcile"> & Partial<ControllerOptions<ConfigMap>>) {
  const backoff = { firstMs: 20, longestMs: 200 };
  const reflector = options.reflector ?? reflect("!copy");
  const controller = new Controller({
    name: "test",
    metrics: figures.metrics,
    log: recorded.log,
    backoff,
    ...options,
    reflector,
  });
  const run = controller.run(ending.signal);
  running.push(run);
  return { controller, run };
}
const outcomes = (outcome: string): Promise<number> => figures.of("tapline_operator_reconciles_total", { outcome });

describe("a controller", () => {
  it("keeps a copy of each object the same, over cuts and refusals, against those who change or delete it", async () => {
    const [originals, copies] = [reflect("!copy"), reflect("copy")];
    const applier = new Applier(kube, figures.metrics);
    control({
      reflector: originals,
      also: [changesOf(copies, ({ key }) => [key.replace(/-copy$/, "")])],
      reconcile: async ({ key, name, object, signal }) => {
        if (object === undefined) {
          await kube.delete(configMaps, { ...name, name: `${name.name}-copy` }, { signal });
          return undefined;
        }
        const copy = configMap(`${name.name}-copy`, object.data ?? {}, namespace);
        const wanted = { ...copy, metadata: { ...copy.metadata, labels: { copy: "yes" } } };
        await applier.apply(configMaps, wanted, copies.store.get(`${key}-copy`), signal);
        return undefined;
      },
    });
    way.cutAfter = () => 3000;
    let refusals = 0;
    way.refuse = ({ method }) => method === "PATCH" && refusals++ % 3 === 0;
    for (let turn = 0; turn < 10; turn++)
      await Promise.all(Array.from({ length: 8 }, (_, index) => write(`o${index}`, { value: String(turn) })));
    await straight().delete(configMaps, { namespace, name: "o7" });
    await straight().delete(configMaps, { namespace, name: "o1-copy" });

    const all = async () => (await straight().list(configMaps, { namespace })).items;
    const copied = await eventually("all copies", 20, async () => {
      const found = (await all()).filter(({ metadata }) => metadata.labels?.["copy"]);
      return found.length === 7 && found.every(({ data }) => data?.["value"] === "9") ? found : undefined;
    });
    expect(copied.map(({ metadata }) => metadata.name)).toEqual(
      Array.from({ length: 7 }, (_, index) => `o${index}-copy`),
    );
    expect(way.cuts).toBeGreaterThan(3);
    expect(await outcomes("failed")).toBeGreaterThan(3);
    // It comes to rest: looking again writes nothing.
    way.cutAfter = () => Number.POSITIVE_INFINITY;
    way.refuse = () => false;
    await sleep(500);
    const before = await figures.of("tapline_operator_requests_total", { verb: "apply" });
    await sleep(1000);
    expect(await figures.of("tapline_operator_requests_total", { verb: "apply" })).toBe(before);
    expect(await figures.of("tapline_operator_queue_depth")).toBe(0);
  });

  it("looks at all there was only when it knows all, and again after the time that was asked for", async () => {
    await write("one", {});
    await write("two", {});
    const looks: { key: string; known: number; at: number }[] = [];
    const reflector = reflect("!copy");
    control({
      reflector,
      reconcile: ({ key }) => {
        looks.push({ key, known: reflector.store.size, at: performance.now() });
        return Promise.resolve({ againMs: key.endsWith("one") ? 300 : undefined });
      },
    });
    await eventually("three looks at one", 10, () =>
      Promise.resolve(looks.filter(({ key }) => key.endsWith("one")).length >= 3),
    );
    expect(looks.every(({ known }) => known >= 2)).toBe(true);
    expect(looks.filter(({ key }) => key.endsWith("two"))).toHaveLength(1);
    const [first, second] = looks.filter(({ key }) => key.endsWith("one"));
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(295);
    expect(await outcomes("again")).toBeGreaterThanOrEqual(3);
  });

  it("never looks at one object twice at a time, tries failures again, and tells each in one line", async () => {
    const [working, overlaps] = [new Set<string>(), [] as string[]];
    let failures = 3;
    control({
      workers: 8,
      reconcile: async ({ key, signal }) => {
        if (working.has(key)) overlaps.push(key);
        working.add(key);
        await sleep(20, undefined, { signal });
        working.delete(key);
        if (key.endsWith("bad") && failures-- > 0) throw new Error("not yet");
        return undefined;
      },
    });
    for (let turn = 0; turn < 20; turn++)
      await Promise.all(["bad", "a", "b"].map((name) => write(name, { turn: String(turn) })));
    await eventually("it succeeds", 10, async () => (await outcomes("done")) > 3);
    expect(overlaps).toEqual([]);
    const lines = recorded.lines.filter(({ message }) => message === "failed to reconcile");
    expect(lines).toHaveLength(3);
    expect(lines[2]).toMatchObject({
      severity: "warning",
      values: { controller: "test", object: `${namespace}/bad`, outcome: "failed" },
    });
    expect(new Set(recorded.lines.map(({ values }) => values["reconcile"]).filter(Boolean)).size).toBe(
      recorded.lines.filter(({ values }) => values["reconcile"]).length,
    );
  });

  it("aborts a look that takes too long, and tries again", async () => {
    let looks = 0;
    control({
      timeoutMs: 200,
      reconcile: async ({ signal }) => {
        if (looks++ === 0) await sleep(60_000, undefined, { signal }).catch(() => signal.throwIfAborted());
        return undefined;
      },
    });
    await write("slow", {});
    await eventually("the second", 10, async () => (await outcomes("done")) === 1);
    expect(await outcomes("overdue")).toBe(1);
    expect(recorded.lines.find(({ message }) => message === "failed to reconcile")?.values["error"]).toMatchObject({
      code: "RECONCILE_OVERDUE",
    });
  });

  it("when it ends lets looks under way finish, begins no other, and aborts those that do not", async () => {
    const ended: string[] = [];
    const { run } = control({
      workers: 2,
      drainMs: 2000,
      reconcile: async ({ key, signal }) => {
        await sleep(key.endsWith("long") ? 60_000 : 1200, undefined, { signal });
        ended.push(key);
        return undefined;
      },
    });
    await write("long", {});
    await write("short", {});
    await eventually(
      "both are under way",
      10,
      async () => recorded.lines.length === 0 && (await figures.of("tapline_operator_queue_added_total")) === 2,
    );
    await write("waits", {});
    await sleep(100);
    const begun = performance.now();
    ending.abort(new Error("SIGTERM"));
    await run;
    expect(performance.now() - begun).toBeLessThan(3000);
    expect(ended).toEqual([`${namespace}/short`]);
    expect(await outcomes("stopped")).toBe(1);
  });

  it("does not look again for a change of the status alone, when told so", async () => {
    const common = { apiVersion: "v1", kind: "X" };
    const object = (generation: number, labels = {}, resourceVersion = "1") =>
      ({ ...common, metadata: { name: "x", generation, labels, resourceVersion } }) as const;
    const changed = (before: ReturnType<typeof object>, now: ReturnType<typeof object>) =>
      specChanged({ type: "updated", key: "x", before, now });
    expect(changed(object(1), object(1, {}, "2"))).toBe(false);
    expect(changed(object(1), object(2))).toBe(true);
    expect(changed(object(1), object(1, { a: "b" }))).toBe(true);
    expect(specChanged({ type: "deleted", key: "x", before: object(1) })).toBe(true);
  });

  it("makes a span of each look", async () => {
    const bodies: string[] = [];
    const collector = createServer((asked, answer) => {
      asked.setEncoding("utf8").on("data", (text: string) => bodies.push(text));
      asked.on("end", () => answer.end("{}"));
    }).listen(0, "127.0.0.1");
    await once(collector, "listening");
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    const traces = await startTraces({
      endpoint,
      service: "tapline-operator",
      version: "0",
      log: recorded.log,
      delayMs: 50,
    });
    control({ reconcile: () => Promise.reject(new Error("as it should")) });
    await write("traced", {});
    await eventually("a failure", 10, async () => (await outcomes("failed")) > 0);
    await traces.close();
    collector.close();
    const text = bodies.join("");
    expect(text).toContain('"name":"reconcile"');
    expect(text).toContain(`${namespace}/traced`);
    expect(text).toContain("as it should");
  });
});
