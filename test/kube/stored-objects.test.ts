// What becomes of an object on its way into the API: what is filled in, what is dropped, who may change which part.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { apiVersion } from "#domain/custom-resource.ts";
import { relayRuleSpec } from "#domain/relay-rule-object.ts";
import { sensorPoolSpec } from "#domain/sensor-pool.ts";
import { fleetNodes, pools, rules } from "#operator/kinds.ts";
import type { KubeObject } from "#operator/runtime/objects.ts";
import type { Kubectl, Manifest } from "../e2e/kubectl.ts";
import { type ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { direct, makeClient } from "./parts.ts";
import { Rest } from "./rest.ts";
import { pool, rule, time, watched, wire } from "./whole-objects.ts";
import { samples, startWithCrds } from "./with-crds.ts";

const api = `/apis/${apiVersion}`;

describe("an object that is sound", () => {
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

  const stored = (name: string): Promise<Record<string, unknown>> => kubectl.get(...name.split("/"));

  it("fills in what a short object leaves out", async () => {
    await kubectl.apply(pool("short"), rule("short"));
    expect((await stored("spool/short"))["spec"]).toEqual({
      nodes: {},
      interfaces: [{ name: "eth1" }],
      capture: {
        ring: { blockKiB: 1024, blocks: 64, retireMs: 10 },
        threads: 1,
        filter: "",
        promiscuous: true,
        direction: "In",
      },
      pinning: { policy: "None", irq: "Observe" },
      analysis: { settle: "2s", idleTimeout: "60s", maxFlows: 1_000_000 },
      store: { retention: { days: 7, MiB: 4096 } },
      budget: { memoryMiB: 512 },
      rollout: { maxUnavailable: "10%" },
      export: { prometheus: { enabled: true } },
    });
    expect((await stored("rrule/short"))["spec"]).toEqual({
      hops: [{ ...wire, from: { ...wire.from, protocol: "UDP" } }],
      engine: "Auto",
      deliverLocal: false,
    });
    // Sections that are begun are filled in, too.
    await kubectl.apply(pool("begun", { ...watched, capture: { ring: { blocks: 8 } }, pinning: { irq: "Manage" } }));
    expect((await stored("spool/begun"))["spec"]).toMatchObject({
      capture: { ring: { blockKiB: 1024, blocks: 8, retireMs: 10 }, direction: "In" },
      pinning: { policy: "None", irq: "Manage" },
    });
  });

  it("stores what our own schemas read as it is", async () => {
    for (const file of readdirSync(samples).filter((name) => name.endsWith(".yaml"))) {
      const sample = parse(readFileSync(join(samples, file), "utf8")) as Manifest;
      const schema = sample.kind === "SensorPool" ? sensorPoolSpec : relayRuleSpec;
      const path = `${api}/${sample.kind.toLowerCase()}s?fieldValidation=Strict&dryRun=All`;
      const { status, body } = await rest.ask<Manifest>("POST", path, sample);
      expect(status, file).toBe(201);
      expect(schema.parse(body["spec"]), file).toEqual(body["spec"]);
      expect(schema.parse(sample["spec"]), file).toEqual(body["spec"]); // the same defaults
    }
  });

  it("drops a status that a user sends, and takes the operator's", async () => {
    const lies = {
      conditions: [{ type: "Ready", status: "True", reason: "Said", message: "so", lastTransitionTime: time }],
    };
    const node: Manifest = { apiVersion, kind: "FleetNode", metadata: { name: "honest" } };
    for (const object of [pool("honest"), rule("honest"), node]) {
      await kubectl.apply({ ...object, status: lies });
      expect((await stored(`${object.kind.toLowerCase()}/honest`))["status"], object.kind).toBeUndefined();
    }
    const path = `${api}/sensorpools/honest`;
    const patch = "application/merge-patch+json";
    expect((await rest.ask("PATCH", `${path}/status`, { status: lies, spec: pool("other", { interfaces: [{ name: "eth9" }] })["spec"] }, patch)).status).toBe(200); // biome-ignore format: one line
    expect(await stored("spool/honest")).toMatchObject({ status: lies, spec: watched, metadata: { generation: 1 } });
    await rest.ask("PATCH", path, { status: { conditions: [] }, spec: { capture: { threads: 2 } } }, patch);
    expect(await stored("spool/honest")).toMatchObject({ status: lies, metadata: { generation: 2 } });
  });

  it("takes a status whose counts and lists are empty again", async () => {
    const node: Manifest = { apiVersion, kind: "FleetNode", metadata: { name: "emptied" } };
    const sensor = { pool: "edge", version: "1", run: "r", started: time, lastReport: time, rung: "none", packets: 1, lost: 0, problems: [] }; // biome-ignore format: one row
    const hop = { name: "a", nodes: 1, programmed: 1, reporting: 1, received: 1, matched: 1, sent: 1, lost: 0, pps: 0, bps: 0 }; // biome-ignore format: one row
    const totals = { packets: 1, bytes: 1, pps: 0, bps: 0, lost: 0, suspect: 0, flows: 0 };
    const full = { icmp: 1 };
    const cases = [
      [pool("emptied"), pools, { totals: { ...totals, drops: full } }, { totals: { ...totals, drops: {} } }],
      [rule("emptied"), rules, { hops: [{ ...hop, engines: ["tc"], refused: full, dropped: full }], segments: [{ from: "a", to: "b", sent: 1, lost: 0 }] }, { hops: [{ ...hop, engines: [], refused: {}, dropped: {} }], segments: [] }],
      [node, fleetNodes, { sensors: [{ ...sensor, drops: full }], engines: [{ engine: "tc", available: true, why: "" }] }, { sensors: [{ ...sensor, drops: {} }], engines: [] }],
      [node, fleetNodes, { sensors: [{ ...sensor, drops: full }] }, { sensors: [] }],
    ] as const; // biome-ignore format: a table
    const client = makeClient(direct(alone.kubeconfig));
    for (const [object, resource, ...statuses] of cases) {
      await kubectl.apply(object);
      const { kind, metadata } = object;
      for (const status of statuses) {
        await client.applyStatus(resource, {
          apiVersion,
          kind,
          metadata: { name: metadata.name },
          status,
        } as KubeObject);
        expect((await stored(`${kind.toLowerCase()}/emptied`))["status"], kind).toEqual(status);
      }
    }
    client.close();
  });

  it("refuses an object of a version to come", async () => {
    const { code, stderr } = await kubectl.tryApply({ ...pool("early"), apiVersion: "tapline.dev/v1" });
    expect(code).toBe(1);
    expect(stderr).toContain('no matches for kind "SensorPool" in version "tapline.dev/v1"');
    expect((await rest.ask("POST", "/apis/tapline.dev/v1/sensorpools", pool("early"))).status).toBe(404);
  });

  it("refuses fields that it does not know, unless told to drop them", async () => {
    const newer = pool("newer", { ...watched, capture: { snaplen: 128 } });
    const apply = (validate: string) =>
      kubectl.try(["apply", `--validate=${validate}`, "-f", "-"], JSON.stringify(newer));
    const refused = await apply("strict");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown field "spec.capture.snaplen"') });
    const dropped = await apply("warn");
    expect(dropped).toMatchObject({ code: 0, stderr: expect.stringContaining('unknown field "spec.capture.snaplen"') });
    expect((await stored("spool/newer"))["spec"]).not.toHaveProperty("capture.snaplen");
  });

  it("lets two who apply to one rule keep a hop each", async () => {
    const first = { name: "source", nodes: { names: ["a"] }, from: wire.from, to: [{ hop: "edge" }] };
    const last = { name: "edge", nodes: { names: ["b"] }, to: [{ interface: "eth1", group: "239.1.1.1" }] };
    const apply = (who: string, ...hops: object[]) =>
      kubectl.try(
        ["apply", "--server-side", `--field-manager=${who}`, "-f", "-"],
        JSON.stringify(rule("shared", hops)),
      );
    expect(await apply("one", first, last)).toMatchObject({ code: 0 });
    expect(await apply("other", { ...last, to: [{ interface: "eth2", group: "239.1.1.1" }] })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('conflict with "one": .spec.hops[name="edge"].to'),
    });
    expect(await apply("other", last)).toMatchObject({ code: 0 });
    expect(await apply("other", { ...last, to: [...last.to, { interface: "eth7", group: "239.1.1.1" }] })).toMatchObject({ code: 1 }); // biome-ignore format: one line
    const { spec } = await kubectl.get<{ spec: { hops: { name: string }[] } }>("rrule", "shared");
    expect(spec.hops.map(({ name }) => name)).toEqual(["source", "edge"]);
  });
});
