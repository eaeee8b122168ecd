// Apply on a real apiserver: written only when something differs, also by a process that remembers nothing; what is another's is left and told.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Applier } from "#operator/runtime/apply.ts";
import type { KubeObject, Resource } from "#operator/runtime/objects.ts";
import type { KubeClient } from "#operator/runtime/client.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { direct, type Figures, makeClient, makeFigures } from "./parts.ts";

interface DaemonSet extends KubeObject {
  readonly spec: {
    readonly template: { readonly metadata: { readonly labels: Record<string, string> }; readonly spec: PodSpec };
    readonly [field: string]: unknown;
  };
  readonly status?: Record<string, unknown>;
}
interface PodSpec {
  readonly containers: readonly Record<string, unknown>[];
  readonly [field: string]: unknown;
}
const daemonSets: Resource<DaemonSet> = {
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  plural: "daemonsets",
  namespaced: true,
};

const labels = { app: "sensor", "app.kubernetes.io/name": "tapline" };
const environment = [{ name: "NODE", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "spec.nodeName" } } }];
/** As the operator's own are: lists by keys, sets, atomic parts, values that the API fills in. */
const daemonSet = (change: Record<string, unknown> = {}, container: Record<string, unknown> = {}): DaemonSet => ({
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: {
    name: "sensor",
    namespace: "default",
    labels,
    ownerReferences: [
      { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: "0b7b3b8e-6f0b-4f43-9d6a-8e4c5d2f7a10", controller: true },
    ],
  },
  spec: {
    selector: { matchLabels: { app: "sensor" } },
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "10%" } },
    template: {
      metadata: { labels },
      spec: {
        hostNetwork: true,
        tolerations: [{ operator: "Exists" }],
        volumes: [
          { name: "state", hostPath: { path: "/var/lib/tapline" } },
          { name: "tmp", emptyDir: {} },
        ],
        containers: [
          {
            name: "agent",
            image: "tapline:1",
            args: ["sensor", "--config", "/etc/tapline/sensor.yaml"],
            ports: [{ name: "metrics", containerPort: 9464, protocol: "TCP" }],
            env: environment,
            securityContext: { capabilities: { add: ["NET_RAW", "BPF"], drop: ["ALL"] }, readOnlyRootFilesystem: true },
            resources: { limits: { memory: "256Mi" } },
            volumeMounts: [{ name: "state", mountPath: "/var/lib/tapline" }],
            ...container,
          },
        ],
      },
    },
    ...change,
  },
});

let alone: ApiserverAlone;
beforeAll(async () => {
  alone = await ApiserverAlone.start();
}, firstStartMs);
afterAll(() => alone[Symbol.asyncDispose]());

let kube: KubeClient;
let figures: Figures;
let applier: Applier;
const name = { namespace: "default", name: "sensor" };
beforeEach(async () => {
  figures = makeFigures();
  kube = makeClient(direct(alone.kubeconfig), { metrics: figures.metrics, fieldManager: "tapline-operator" });
  applier = new Applier(kube, figures.metrics);
  await kube.delete(daemonSets, name);
});
const live = () => kube.get(daemonSets, name);
const writes = () => figures.of("tapline_operator_requests_total", { verb: "apply" });
const somebody = () => makeClient(direct(alone.kubeconfig), { fieldManager: "somebody" });

describe("apply", () => {
  it("writes what is not there, and then nothing while it is so; a process that remembers nothing, too", async () => {
    expect(await applier.apply(daemonSets, daemonSet(), undefined)).toMatchObject({
      outcome: "applied",
      conflicts: [],
    });
    for (let turn = 0; turn < 3; turn++)
      expect((await applier.apply(daemonSets, daemonSet(), await live())).outcome).toBe("unchanged");
    const restarted = new Applier(kube, figures.metrics);
    expect((await restarted.apply(daemonSets, daemonSet(), await live())).outcome).toBe("unchanged");
    expect(await writes()).toBe(1);
    expect(await figures.of("tapline_operator_applies_total", { outcome: "unchanged", resource: "daemonsets" })).toBe(
      4,
    );
  });

  it("after a restart applies once what the API writes in another way, and then no more", async () => {
    const half = daemonSet({}, { resources: { limits: { cpu: "0.5" } } });
    await applier.apply(daemonSets, half, undefined);
    expect((await applier.apply(daemonSets, half, await live())).outcome).toBe("unchanged");
    const restarted = new Applier(kube, figures.metrics);
    expect((await restarted.apply(daemonSets, half, await live())).outcome).toBe("applied");
    expect((await restarted.apply(daemonSets, half, await live())).outcome).toBe("unchanged");
  });

  it.each([
    ["a value", daemonSet({}, { image: "tapline:2" })],
    ["a field more", daemonSet({ minReadySeconds: 5 })],
    ["a field less", daemonSet({ updateStrategy: undefined })],
    ["an item less", daemonSet({}, { ports: [] })],
    ["an item more", daemonSet({}, { env: [...environment, { name: "X", value: "1" }] })],
    ["another order in a list that has one", daemonSet({}, { args: ["sensor"] })],
  ])("writes when what is wanted differs by %s, whether it remembers or not", async (_, changed) => {
    for (const remembers of [true, false]) {
      await kube.delete(daemonSets, name);
      await applier.apply(daemonSets, daemonSet(), undefined);
      const next = remembers ? applier : new Applier(kube, figures.metrics);
      expect((await next.apply(daemonSets, changed, await live())).outcome).toBe("applied");
      expect((await next.apply(daemonSets, changed, await live())).outcome).toBe("unchanged");
    }
    const { spec } = await live();
    expect(JSON.parse(JSON.stringify(spec))).toMatchObject(
      changed.spec.updateStrategy === undefined
        ? {}
        : JSON.parse(JSON.stringify({ updateStrategy: changed.spec.updateStrategy })),
    );
  });

  it("leaves what another took, tells whose it is, does not try again until something changes there", async () => {
    const wanted = daemonSet({ minReadySeconds: 7 }, { image: "tapline:2" });
    const bySomebody = (spec: object) =>
      somebody().apply(daemonSets, { ...daemonSet(), metadata: name, spec } as KubeObject, { force: true });
    await applier.apply(daemonSets, daemonSet({ minReadySeconds: 7 }), undefined);
    await bySomebody({ minReadySeconds: 99 }); // as `kubectl edit` does
    for (const each of [applier, new Applier(kube, figures.metrics)]) {
      const first = await each.apply(daemonSets, wanted, await live());
      expect(first.conflicts).toEqual([{ field: ".spec.minReadySeconds", manager: "somebody" }]);
      const { spec } = await live();
      expect(spec["minReadySeconds"]).toBe(99);
      expect(spec.template.spec.containers[0]?.["image"]).toBe("tapline:2"); // the rest of it was applied
      const before = await writes();
      const again = await each.apply(daemonSets, wanted, await live());
      expect(again).toMatchObject({ outcome: "unchanged", conflicts: first.conflicts });
      expect(await writes()).toBe(before);
    }
    await bySomebody({ minReadySeconds: 7 });
    expect(await applier.apply(daemonSets, wanted, await live())).toMatchObject({ outcome: "applied", conflicts: [] });
    await bySomebody({ minReadySeconds: 98 });
    expect((await applier.apply(daemonSets, wanted, await live())).conflicts).toHaveLength(1);
    await bySomebody({}); // gives it up: it is nobody's now
    expect(await applier.apply(daemonSets, wanted, await live())).toMatchObject({ outcome: "applied", conflicts: [] });
    expect((await live()).spec["minReadySeconds"]).toBe(7);
  });

  it("leaves an image within a list, which has no conflict but for its item", async () => {
    await applier.apply(daemonSets, daemonSet(), undefined);
    const spec = { template: { spec: { containers: [{ name: "agent", image: "mine:9" }] } } };
    await somebody().apply(daemonSets, { ...daemonSet(), metadata: name, spec } as KubeObject, { force: true });
    const { conflicts } = await applier.apply(daemonSets, daemonSet(), await live());
    expect(conflicts).toEqual([{ field: '.spec.template.spec.containers[name="agent"].image', manager: "somebody" }]);
    expect((await live()).spec.template.spec.containers[0]).toMatchObject({
      image: "mine:9",
      ports: [{ containerPort: 9464 }],
    });
  });

  it("leaves fields that were never ours, and notices a label with dots that another has", async () => {
    await somebody().apply(daemonSets, daemonSet({ revisionHistoryLimit: 3 }), { force: true });
    const wanted = daemonSet();
    const other = {
      ...wanted,
      metadata: { ...wanted.metadata, labels: { ...labels, "app.kubernetes.io/name": "other" } },
    };
    const { conflicts } = await applier.apply(daemonSets, other, await live());
    expect(conflicts).toEqual([{ field: ".metadata.labels.app.kubernetes.io/name", manager: "somebody" }]);
    const { spec, metadata } = await live();
    expect(spec["revisionHistoryLimit"]).toBe(3);
    expect(metadata.labels).toEqual(labels);
  });

  it("keeps the status apart, takes it back from whoever wrote it, and writes it only when it differs", async () => {
    await applier.apply(daemonSets, daemonSet(), undefined);
    const status = (desiredNumberScheduled: number): KubeObject =>
      ({
        apiVersion: "apps/v1",
        kind: "DaemonSet",
        metadata: name,
        status: { desiredNumberScheduled, currentNumberScheduled: 1, numberMisscheduled: 0, numberReady: 0 },
      }) as KubeObject;
    expect((await applier.applyStatus(daemonSets, status(2), await live())).outcome).toBe("applied");
    for (const each of [applier, new Applier(kube, figures.metrics)])
      expect((await each.applyStatus(daemonSets, status(2), await live())).outcome).toBe("unchanged");
    await somebody().applyStatus(daemonSets, status(7));
    expect((await live()).status?.["desiredNumberScheduled"]).toBe(7);
    expect((await applier.applyStatus(daemonSets, status(2), await live())).outcome).toBe("applied");
    const object = await live();
    expect(object.status?.["desiredNumberScheduled"]).toBe(2);
    expect(
      object.metadata.managedFields?.map(({ manager, subresource }) => `${manager} ${subresource ?? ""}`),
    ).toContain("tapline-operator-status status");
    // The spec was nobody's business in all of that.
    expect((await applier.apply(daemonSets, daemonSet(), object)).outcome).toBe("unchanged");
  });

  it("does not apply what another object of the same name was", async () => {
    await applier.apply(daemonSets, daemonSet(), undefined);
    await kube.delete(daemonSets, name);
    await somebody().apply(daemonSets, daemonSet({}, { image: "other:1" }), { force: true });
    expect((await applier.apply(daemonSets, daemonSet(), await live())).conflicts).toHaveLength(1);
  });

  it("says what is not valid in the API's words", async () => {
    await expect(
      applier.apply(daemonSets, daemonSet({ selector: { matchLabels: { app: "x" } } }), undefined),
    ).rejects.toMatchObject({
      code: "KUBE_INVALID",
      message: expect.stringContaining("selector"),
    });
  });
});
