// Events and finalizers on a real apiserver: counted, limited, let go.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TaplineError } from "#domain/errors.ts";
import type { KubeClient } from "#operator/runtime/client.ts";
import { type EventOptions, EventRecorder, type Happened } from "#operator/runtime/events.ts";
import { Finalizer } from "#operator/runtime/finalizers.ts";
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

let kube: KubeClient;
let figures: Figures;
let round = 0;
let object: ConfigMap;
beforeEach(async () => {
  figures = makeFigures();
  kube = makeClient(direct(alone.kubeconfig));
  object = await kube.create(configMaps, configMap(`object-${++round}`, {}));
});
const outcomes = (outcome: string): Promise<number> => figures.of("tapline_operator_events_total", { outcome });

interface KubeEvent {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly series?: { count: number };
  readonly regarding: { name: string; uid: string };
}
const events = async (): Promise<KubeEvent[]> => {
  const { items } = await alone.kubectl.get<{ items: KubeEvent[] }>("events.events.k8s.io", "--all-namespaces");
  return items.filter(({ regarding }) => regarding.name === object.metadata.name);
};

describe("events", () => {
  const recorder = (options: Partial<EventOptions> = {}): EventRecorder =>
    new EventRecorder({
      client: kube,
      controller: "tapline.dev/operator",
      instance: "operator-0",
      metrics: figures.metrics,
      log: recordedLog().log,
      seriesMs: 300,
      ...options,
    });
  const happened = (note = "two pools claim eth1 on core-1"): Happened => ({
    object,
    type: "Warning",
    reason: "InterfaceTaken",
    action: "Accept",
    note,
  });

  it("are there for kubectl, and what happens again is counted in one, written now and then", async () => {
    const events_ = recorder();
    for (let turn = 0; turn < 100; turn++) events_.tell(happened());
    events_.tell(happened("another"));
    await eventually("the series", 10, async () => (await events()).some(({ series }) => series?.count === 100));
    expect(await events()).toHaveLength(2);
    expect([await outcomes("created"), await outcomes("counted")]).toEqual([2, 1]);
    const text = await alone.kubectl.run("events", "--for", `configmap/${object.metadata.name}`);
    expect(text).toMatch(/x100.*Warning\s+InterfaceTaken.*two pools claim eth1 on core-1/);
    await events_.close(new AbortController().signal);
  });

  it("are told at the end, too: what was not written yet", async () => {
    const events_ = recorder({ seriesMs: 60_000 });
    for (let turn = 0; turn < 5; turn++) events_.tell(happened());
    await events_.close(new AbortController().signal);
    expect((await events())[0]?.series?.count).toBe(5);
    events_.tell(happened("after the end"));
    expect(await events()).toHaveLength(1);
  });

  it("are limited: what comes too fast is dropped and counted", async () => {
    const events_ = recorder({ rate: { perSecond: 0.001, burst: 3 } });
    for (let turn = 0; turn < 10; turn++) events_.tell(happened(`note ${turn}`));
    await events_.close(new AbortController().signal);
    expect(await events()).toHaveLength(3);
    expect([await outcomes("created"), await outcomes("limited")]).toEqual([3, 7]);
  });

  it("come again when the API has forgotten them", async () => {
    const events_ = recorder();
    events_.tell(happened());
    await eventually("it is there", 10, async () => (await events()).length === 1);
    await alone.kubectl.run("delete", "events.events.k8s.io", "--all");
    events_.tell(happened());
    await eventually("it is there again", 10, async () => (await events())[0]?.series?.count === 2);
    expect(await outcomes("counted")).toBe(1);
    await events_.close(new AbortController().signal);
  });

  it("do not hold anybody up while the API is away, and are cut to what it takes", async () => {
    await using way = await FaultyWay.to(alone);
    way.ignore = () => true;
    const events_ = recorder({ client: makeClient(through(way.url)), rate: { perSecond: 1e6, burst: 1e6 } });
    const begun = performance.now();
    for (let turn = 0; turn < 2000; turn++) events_.tell(happened(`note ${turn}`));
    expect(performance.now() - begun).toBeLessThan(500);
    expect(await outcomes("overflowed")).toBeGreaterThan(1700);
    await events_.close(AbortSignal.timeout(200));

    const others = recorder();
    others.tell(happened("→".repeat(1000)));
    await others.close(new AbortController().signal);
    expect((await events())[0]?.note).toMatch(/^→{300,}.*…$/);
  });
});

describe("a finalizer", () => {
  const never = new AbortController().signal;
  const overdue: TaplineError[] = [];
  const finalizer = (limitMs: number): Finalizer<ConfigMap> =>
    new Finalizer({
      client: kube,
      resource: configMaps,
      finalizer: "tapline.dev/test",
      limitMs,
      metrics: figures.metrics,
      overdue: (_, error) => overdue.push(error),
    });
  const found = () => kube.find(configMaps, object.metadata);

  it("keeps an object until what it stands for has ended, beside those of others", async () => {
    const ours = finalizer(60_000);
    await kube.merge(configMaps, object.metadata, { metadata: { finalizers: ["example.com/theirs"] } });
    object = await ours.put((await found()) as ConfigMap, never);
    expect(object.metadata.finalizers).toEqual(["example.com/theirs", "tapline.dev/test"]);
    expect(await ours.put(object, never)).toBe(object);
    await kube.delete(configMaps, object.metadata);
    object = (await found()) as ConfigMap;
    const failed = ours.end(object, () => Promise.reject(new Error("a node is away")), never);
    await expect(failed).rejects.toThrow("a node is away");
    let ended = 0;
    await ours.end(object, async () => void ended++, never);
    expect(ended).toBe(1);
    expect((await found())?.metadata.finalizers).toEqual(["example.com/theirs"]);
    await kube.merge(configMaps, object.metadata, { metadata: { finalizers: [] } });
    expect(await found()).toBeUndefined();
    expect(overdue).toEqual([]);
  });

  it("lets it go when the time is over although the end fails, and tells why", async () => {
    const ours = finalizer(400);
    await ours.put(object, never);
    await kube.delete(configMaps, object.metadata);
    object = (await found()) as ConfigMap;
    const fail = () => Promise.reject(new Error("node core-2 does not answer"));
    await expect(ours.end(object, fail, never)).rejects.toThrow("core-2");
    await sleep(450);
    await ours.end(object, fail, never);
    expect(await found()).toBeUndefined();
    expect(overdue).toEqual([expect.objectContaining({ code: "FINALIZER_OVERDUE" })]);
    expect(overdue[0]?.message).toMatch(/configmaps default\/object-\d+ was let go .* core-2/);
    expect(await figures.of("tapline_operator_finalizers_total", { outcome: "overdue" })).toBe(1);
  });

  it("does not take off another's finalizer that came at the same time", async () => {
    const ours = finalizer(60_000);
    object = await ours.put(object, never);
    await kube.merge(configMaps, object.metadata, {
      metadata: { finalizers: [...(object.metadata.finalizers ?? []), "example.com/new"] },
    });
    await expect(ours.end(object, () => Promise.resolve(), never)).rejects.toMatchObject({ code: "KUBE_CONFLICT" });
    expect((await found())?.metadata.finalizers).toEqual(["tapline.dev/test", "example.com/new"]);
    await kube.merge(configMaps, object.metadata, { metadata: { finalizers: [] } });
  });
});
