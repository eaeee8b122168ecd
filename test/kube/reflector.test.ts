// A reflector on a real apiserver, over a way with faults: what its store tells is compared with a watch that goes straight and is never cut.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Change } from "#operator/runtime/object-store.ts";
import { Reflector, type ReflectorOptions } from "#operator/runtime/reflector.ts";
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
let namespace: string;
let round = 0;
beforeEach(async () => {
  way = await FaultyWay.to(alone);
  ending = new AbortController();
  running = [];
  figures = makeFigures();
  namespace = `round-${++round}`;
  await alone.kubectl.run("create", "namespace", namespace);
});
afterEach(async () => {
  ending.abort();
  await Promise.all(running);
  await way[Symbol.asyncDispose]();
});

const writer = () => makeClient(direct(alone.kubeconfig));
const write = (name: string, value: unknown): Promise<ConfigMap> =>
  writer().apply(configMaps, configMap(name, { value: String(value) }, namespace), { force: true });

function follow(options: Partial<ReflectorOptions<ConfigMap>> = {}): {
  reflector: Reflector<ConfigMap>;
  changes: Change<ConfigMap>[];
  lines: ReturnType<typeof recordedLog>["lines"];
} {
  const { log, lines } = recordedLog();
  const client = makeClient(through(way.url), { metrics: figures.metrics, timeoutMs: 2000 });
  const backoff = { firstMs: 5, longestMs: 200 };
  const common = { client, resource: configMaps, metrics: figures.metrics, log, namespace, backoff };
  const reflector = new Reflector<ConfigMap>({ ...common, ...options });
  const changes: Change<ConfigMap>[] = [];
  reflector.store.onChange((change) => changes.push(change));
  running.push(reflector.run(ending.signal));
  return { reflector, changes, lines };
}

const told = ({ type, key, now, before }: Change<ConfigMap>): string =>
  `${type} ${key} ${(now ?? before)?.metadata.resourceVersion}`;

/** What a watch that nobody cuts tells. */
function reference(resourceVersion: string): string[] {
  const seen: string[] = [];
  const words = { ADDED: "added", MODIFIED: "updated", DELETED: "deleted", BOOKMARK: "" } as const;
  const watch = async (): Promise<void> => {
    const asked = { namespace, resourceVersion, seconds: 600, silenceMs: 600_000, signal: ending.signal };
    try {
      for await (const { type, object } of writer().watch(configMaps, asked))
        if (type !== "BOOKMARK")
          seen.push(`${words[type]} ${namespace}/${object.metadata.name} ${object.metadata.resourceVersion}`);
    } catch (error) {
      if (!ending.signal.aborted) throw error;
    }
  };
  running.push(watch());
  return seen;
}

describe("a reflector", () => {
  it("misses no change over 100 cuts, and tells none twice", async () => {
    way.cutAfter = () => 200 + Math.floor(Math.random() * 3000); // in the middle of lines, mostly
    const { reflector, changes, lines } = follow();
    await reflector.synced;
    const { resourceVersion } = await writer().list(configMaps, { namespace });
    const seen = reference(resourceVersion);
    changes.length = 0;
    const client = writer();
    for (let count = 0; way.cuts < 100; count++) {
      const name = `map-${count % 7}`;
      if (count % 10 === 9) await client.delete(configMaps, { namespace, name });
      else await client.apply(configMaps, configMap(name, { value: String(count) }, namespace), { force: true });
    }
    way.cutAfter = () => Number.POSITIVE_INFINITY;
    await write("last", 1);
    const isLast = (text: string): boolean => text.includes(`${namespace}/last`);
    await eventually("the last change", 20, () => Promise.resolve(changes.map(told).some(isLast) && seen.some(isLast)));
    expect(changes.map(told)).toEqual(seen);
    expect(seen.length).toBeGreaterThan(100);
    process.stderr.write(`reflector: ${seen.length} changes over ${way.cuts} cuts, all told once\n`);
    expect(await figures.of("tapline_operator_watches_total", { end: "cut" })).toBeGreaterThanOrEqual(100);
    // One list, at the start: a cut costs none.
    expect(await figures.of("tapline_operator_lists_total")).toBe(1);
    expect(lines.filter(({ severity }) => severity === "error")).toEqual([]);
  });

  it("begins when the API does: refused with 500 at first, it lists later", async () => {
    await write("there", 1);
    way.refuse = () => true;
    const { reflector, lines } = follow();
    await eventually("three attempts", 10, () => Promise.resolve(way.passed.length >= 3));
    expect(reflector.store.size).toBe(0);
    expect(lines.at(-1)).toMatchObject({
      message: "failed to follow the API",
      values: { error: { code: "KUBE_FAILED" } },
    });
    way.refuse = () => false;
    await reflector.synced;
    expect([...reflector.store.keys()]).toEqual([`${namespace}/there`]);
  });

  it("survives watches that are refused with 500, without listing again", async () => {
    const { reflector, changes } = follow();
    await reflector.synced;
    way.refuse = ({ watch }) => watch;
    way.cut();
    await write("meanwhile", 1);
    await eventually("refused", 10, () => Promise.resolve(way.passed.filter(({ watch }) => watch).length > 4));
    way.refuse = () => false;
    await eventually("it is told", 10, () => Promise.resolve(changes.length === 1));
    expect(await figures.of("tapline_operator_lists_total")).toBe(1);
  });

  it("notices a watch that is half open by its silence", async () => {
    const { reflector, changes } = follow({ silenceMs: 1500 });
    await reflector.synced;
    await write("before", 1);
    await eventually("it is told", 10, () => Promise.resolve(changes.length === 1));
    expect(way.halfOpen()).toBe(1);
    await write("meanwhile", 1);
    await sleep(1000);
    expect(changes).toHaveLength(1);
    await eventually("it is told", 10, () => Promise.resolve(changes.length === 2));
    expect(await figures.of("tapline_operator_watches_total", { end: "silent" })).toBe(1);
    expect(await figures.of("tapline_operator_lists_total")).toBe(1);
  });

  it("lists again when three watches in a row were never answered", async () => {
    const { reflector, changes } = follow({ silenceMs: 500 });
    await reflector.synced;
    way.ignore = ({ watch }) => watch;
    way.cut();
    await write("meanwhile", 1);
    await eventually("it is told, by a list", 20, () => Promise.resolve(changes.length === 1));
    expect(await figures.of("tapline_operator_lists_total", { why: "silent" })).toBe(1);
    expect(await figures.of("tapline_operator_watches_total", { end: "silent" })).toBe(3);
  });

  it("lists again after 410, tells what went meanwhile, and what is another of the same name", async () => {
    await Promise.all(["stays", "changes", "goes", "again"].map((name) => write(name, 1)));
    const { reflector, changes } = follow();
    await reflector.synced;
    const old = reflector.store.get(`${namespace}/again`)?.metadata.uid;
    way.refuse = () => true;
    way.cut();
    await write("changes", 2);
    await write("comes", 1);
    await writer().delete(configMaps, { namespace, name: "goes" });
    await writer().delete(configMaps, { namespace, name: "again" });
    await write("again", 2);
    // What an apiserver has in memory is all that a watch may go back to.
    await alone.down();
    await alone.up();
    changes.length = 0;
    way.refuse = () => false;
    await eventually("all is known", 20, () => Promise.resolve(changes.length >= 5));
    expect(await figures.of("tapline_operator_lists_total", { why: "expired" })).toBe(1);
    expect(changes.map(({ type, key }) => `${type} ${key.split("/")[1]}`).sort()).toEqual([
      "added again",
      "added comes",
      "deleted again",
      "deleted goes",
      "updated changes",
    ]);
    expect(reflector.store.get(`${namespace}/again`)?.metadata.uid).not.toBe(old);
  });

  it("lists in pages", async () => {
    await Promise.all(Array.from({ length: 12 }, (_, index) => write(`map-${index}`, 1)));
    const { reflector } = follow({ pageSize: 5 });
    await reflector.synced;
    expect(reflector.store.size).toBe(12);
    expect(way.passed.filter(({ watch }) => !watch).map(({ path }) => /limit=(\d+)/.exec(path)?.[1])).toEqual([
      "5",
      "5",
      "5",
    ]);
    expect([...reflector.store.values()].every(({ kind }) => kind === "ConfigMap")).toBe(true);
  });

  it("finds what a watch did not tell by comparing: counted, told, mended", async () => {
    await Promise.all(["changes", "goes", "stays"].map((name) => write(name, 1)));
    const { reflector, changes, lines } = follow({ compareMs: 2000 });
    await reflector.synced;
    changes.length = 0;
    way.rob = (line) => /"name":"(changes|comes|goes)"/.test(line);
    await write("changes", 2);
    await write("comes", 1);
    await writer().delete(configMaps, { namespace, name: "goes" });
    await write("stays", 2);
    await eventually("the one that was told", 10, () => Promise.resolve(changes.length === 1));
    expect(await figures.of("tapline_operator_missed_total")).toBe(0);
    // A comparison begins and ends with a change or a bookmark.
    await eventually("they are found", 20, async () => {
      await write("stays", Math.random());
      return (await figures.of("tapline_operator_missed_total")) > 0;
    });
    expect(await figures.of("tapline_operator_missed_total")).toBe(3);
    expect(lines).toContainEqual({
      severity: "error",
      message: "found changes that a watch had not told",
      values: { resource: "configmaps", missed: 3 },
    });
    await eventually("they are mended", 10, () => Promise.resolve(!reflector.store.get(`${namespace}/goes`)));
    expect(reflector.store.get(`${namespace}/changes`)?.data).toEqual({ value: "2" });
    expect(reflector.store.get(`${namespace}/comes`)).toBeDefined();
  });

  it("finds nothing missed while much is written, however often it compares", async () => {
    const { reflector } = follow({ compareMs: 50 });
    await reflector.synced;
    const client = writer();
    const end = performance.now() + 8000;
    let count = 0;
    while (performance.now() < end) {
      const name = `map-${count++ % 5}`;
      if (count % 3 === 0) await client.delete(configMaps, { namespace, name });
      else await client.apply(configMaps, configMap(name, { value: String(count) }, namespace), { force: true });
    }
    expect(await figures.of("tapline_operator_lists_total", { why: "compare" })).toBeGreaterThan(20);
    expect(await figures.of("tapline_operator_missed_total")).toBe(0);
  });

  it("asks for a new watch when the API ends one, from where it was", async () => {
    const { reflector, changes } = follow({ watchSeconds: 5, random: () => 0 });
    await reflector.synced;
    await write("first", 1);
    await eventually(
      "ended in order twice",
      20,
      async () => (await figures.of("tapline_operator_watches_total", { end: "closed" })) >= 2,
    );
    // Before it ends a watch the API tells by a bookmark how far it was.
    expect(await figures.of("tapline_operator_watched_total", { type: "bookmark" })).toBeGreaterThan(0);
    await write("second", 1);
    await eventually("it is told", 10, () => Promise.resolve(changes.length === 2));
    expect(await figures.of("tapline_operator_lists_total")).toBe(1);
  });
});
