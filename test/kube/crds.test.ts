// The CRDs on real apiservers: taken without a warning, explained field by field, with defaults, with samples that are sound.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiVersion } from "#domain/custom-resource.ts";
import { kubernetesVersions } from "../e2e/cluster/programs.ts";
import type { Kubectl, Manifest } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { Rest } from "./rest.ts";
import { hopStatus, many, nodeRule, pool, rule, time, totals, wire } from "./whole-objects.ts";
import { crds, known, samples, startWithCrds } from "./with-crds.ts";

const api = `/apis/${apiVersion}`;

interface Crd extends Manifest {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

describe.each(kubernetesVersions())("Kubernetes %s", (kubernetes) => {
  let alone: ApiserverAlone;
  beforeAll(async () => {
    alone = await ApiserverAlone.start({ kubernetes });
  }, firstStartMs);
  afterAll(() => alone[Symbol.asyncDispose]());

  it("takes the CRDs without a warning, and the samples", async () => {
    const { kubectl } = alone;
    const applied = await kubectl.try(["apply", "--server-side", "-f", crds]);
    expect(applied).toMatchObject({ code: 0, stderr: "" });
    await known(alone);
    const { items } = await kubectl.get<{ items: Crd[] }>("crd");
    const held = items.map(({ status }) => status.conditions.filter(({ status }) => status === "True").map(({ type }) => type).sort()); // biome-ignore format: one line
    expect(held).toEqual(many(3, () => ["Established", "NamesAccepted"]));

    const given = await kubectl.try(["apply", "--validate=strict", "-f", samples]);
    expect(given).toMatchObject({ code: 0, stderr: "" });
    expect(given.stdout.trim().split("\n")).toHaveLength(4);
  });
});

interface Shown {
  readonly description?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shown>>;
  readonly items?: Shown;
  readonly additionalProperties?: Shown;
}
/** Fields without a meaning, as `kubectl explain` would find them. */
function* unexplained(shown: Shown, path: string): Generator<string> {
  if (!shown.properties && !shown.items && (shown.description ?? "") === "") yield path;
  for (const [name, below] of Object.entries(shown.properties ?? {}))
    if ((below.description ?? "") === "") yield `${path}.${name}`;
    else yield* unexplained(below, `${path}.${name}`);
  if (shown.items) yield* unexplained(shown.items, `${path}[]`);
}

describe("an apiserver with the CRDs", () => {
  let alone: ApiserverAlone;
  let kubectl: Kubectl;
  let rest: Rest;
  beforeAll(async () => {
    alone = await startWithCrds();
    kubectl = alone.kubectl;
    rest = new Rest(alone);
  }, firstStartMs);
  afterAll(async () => {
    rest.close();
    await alone[Symbol.asyncDispose]();
  });

  it("explains every field", async () => {
    const { body } = await rest.ask<{ components: { schemas: Record<string, Shown> } }>("GET", `/openapi/v3${api}`);
    for (const [
      kind,
      sections,
    ] of Object.entries({ SensorPool: ["spec", "status"], RelayRule: ["spec", "status"], FleetNode: ["status"] })) // biome-ignore format: one line
      for (const section of sections) {
        const shown = body.components.schemas[`dev.tapline.v1alpha1.${kind}`]?.properties?.[section];
        expect(Object.keys(shown?.properties ?? {}).length).toBeGreaterThan(4);
        expect([...unexplained(shown as Shown, `${kind}.${section}`)]).toEqual([]);
      }
    expect(await kubectl.run("explain", "rrule.spec.hops.to.hop")).toContain(
      "copies go to each of its nodes, by a tunnel",
    );
    expect(await kubectl.run("explain", "spool.spec.capture.ring.blockKiB")).toContain("a power of two");
    expect(await kubectl.run("explain", "fnode.status.relay.wanted")).toContain("generation of the plan");
  });

  it("shows at a glance what is wrong", async () => {
    await kubectl.apply(pool("edge"), rule("feed"), {
      apiVersion,
      kind: "FleetNode",
      metadata: { name: "edge-1.example.com" },
    });
    const condition = (type: string, status: string, reason: string, message = "") => ({
      type,
      status,
      reason,
      message,
      lastTransitionTime: time,
    });
    const lost = condition("Lossless", "False", "LostInNetwork", "core → edge-2: 1,204 of 9.1 M, in the network");
    const write = async (path: string, status: object): Promise<void> => {
      const answer = await rest.ask("PATCH", `${api}/${path}/status`, { status }, "application/merge-patch+json");
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    };
    await write("sensorpools/edge", {
      conditions: [
        condition("Ready", "False", "NotReporting", "edge-3 is silent"),
        condition("Accounted", "True", "Balanced"),
      ],
      desired: 3,
      reporting: 2,
      totals: { ...totals, lost: 7 },
    });
    await write("relayrules/feed", {
      conditions: [condition("Ready", "True", "Programmed"), condition("Receiving", "True", "Packets"), lost],
      nodes: 3,
      programmed: 3,
      lost: 1204,
      hops: [{ ...hopStatus, lastPacket: "2026-11-21T10:00:00.000000001Z" }], // as agents write times
    });
    await write("fleetnodes/edge-1.example.com", {
      conditions: [condition("Ready", "True", "AsAsked"), condition("Permitted", "True", "All")],
      rules: [nodeRule],
    });
    const rows = async (kind: string, ...more: string[]): Promise<string[]> =>
      (await kubectl.run("get", kind, ...more))
        .trimEnd()
        .split("\n")
        .map((line) => line.trimEnd().replaceAll(/ {2,}/g, " | "));
    expect(await rows("spool", "edge")).toEqual([
      "NAME | READY | WHY | DESIRED | REPORTING | ACCOUNTED | LOST | AGE",
      expect.stringMatching(/^edge \| False \| NotReporting \| 3 \| 2 \| True \| 7 \| \d+s$/),
    ]);
    expect(await rows("rrule", "feed")).toEqual([
      "NAME | READY | WHY | RECEIVING | LOSSLESS | LOST | NODES | PROGRAMMED | AGE",
      expect.stringMatching(/^feed \| True \| Programmed \| True \| False \| 1204 \| 3 \| 3 \| \d+s$/),
    ]);
    expect((await rows("rrule", "feed", "-o", "wide"))[1]).toContain("core → edge-2: 1,204 of 9.1 M, in the network");
    expect((await rows("fnode"))[1]).toMatch(/^edge-1\.example\.com \| True \| AsAsked \|/);
    const all = await kubectl.run("get", "tapline", "-o", "name");
    for (const name of [
      "sensorpool.tapline.dev/edge",
      "relayrule.tapline.dev/feed",
      "fleetnode.tapline.dev/edge-1.example.com",
    ])
      expect(all).toContain(name);
  });

  it("judges the largest rule that there can be, in time", async () => {
    const hops = many(16, (i) => ({
      name: `hop-${i}`,
      nodes: i === 0 ? { names: ["a"] } : { names: many(64, (node) => `node-${i}-${node}.${"x".repeat(200)}`) },
      ...(i === 0 ? { from: { ...wire.from, sources: many(64, (source) => `10.1.0.${source}`) } } : {}),
      to: [
        ...(i < 15 ? [{ hop: `hop-${i + 1}` }] : []),
        ...many(i < 15 ? 63 : 64, (output) => ({
          interface: `eth${i}x${output}`,
          group: `239.1.${i}.${output + 1}`,
          port: 5000,
        })),
      ],
    }));
    const started = performance.now();
    const { status, body } = await rest.ask(
      "POST",
      `${api}/relayrules?dryRun=All&fieldValidation=Strict`,
      rule("largest", hops),
    );
    expect(status, JSON.stringify(body)).toBe(201);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("judges the largest pool that there can be, in time", async () => {
    const labels = Object.fromEntries(many(32, (i) => [`example.com/label-${i}`, "v".repeat(63)]));
    const expressions = many(16, (i) => ({ key: `example.com/e${i}`, operator: "In", values: many(32, (n) => `v${n}${"x".repeat(60)}`) })); // biome-ignore format: one line
    const spec = {
      nodes: { selector: { matchLabels: labels, matchExpressions: expressions } },
      interfaces: many(64, (i) => ({ glob: `e${i}*`, exclude: many(64, (n) => `e${i}x${n}`) })),
      pinning: { policy: "Explicit", cpus: many(200, (i) => i + 1000).join(",") },
    };
    const { status, body } = await rest.ask(
      "POST",
      `${api}/sensorpools?dryRun=All&fieldValidation=Strict`,
      pool("largest", spec),
    );
    expect(status, JSON.stringify(body)).toBe(201);
  });
});
