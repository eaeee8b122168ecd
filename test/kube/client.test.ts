// The client on a real apiserver: verbs, and every way in which an answer can be other than hoped for.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../e2e/kubectl.ts";
import { podAccess } from "#operator/runtime/access.ts";
import type { Resource } from "#operator/runtime/objects.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { FaultyWay } from "./faulty-way.ts";
import { configMap, configMaps, direct, makeClient, makeFigures, through } from "./parts.ts";

let alone: ApiserverAlone;
let way: FaultyWay;
beforeAll(async () => {
  alone = await ApiserverAlone.start();
  way = await FaultyWay.to(alone);
}, firstStartMs);
afterAll(async () => {
  await way[Symbol.asyncDispose]();
  await alone[Symbol.asyncDispose]();
});

const client = () => makeClient(direct(alone.kubeconfig));
const failing = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });
const anywhere = (name: string) => ({ namespace: "default", name });

describe("the client", () => {
  it("creates, finds, lists, updates, patches, applies and deletes", async () => {
    const kube = client();
    const made = await kube.create(configMaps, configMap("verbs", { a: "1" }));
    expect(await kube.get(configMaps, anywhere("verbs"))).toEqual(made);
    const updated = await kube.update(configMaps, { ...made, data: { a: "2" } });
    expect(updated.data).toEqual({ a: "2" });
    const merged = await kube.merge(configMaps, anywhere("verbs"), { data: { b: "3" } });
    expect(merged.data).toEqual({ a: "2", b: "3" });
    const applied = await kube.apply(configMaps, configMap("verbs", { c: "4" }), { force: false });
    expect(applied.data).toEqual({ a: "2", b: "3", c: "4" });
    expect(applied.metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`).sort()).toEqual([
      "test Apply",
      "test Update",
    ]);
    const { items } = await kube.list(configMaps, { namespace: "default", fields: "metadata.name=verbs" });
    expect(items).toEqual([applied]);
    expect(
      await kube.delete(configMaps, anywhere("verbs"), { uid: "another" }).catch((error: unknown) => error),
    ).toEqual(failing("KUBE_CONFLICT", /uid/i));
    expect(await kube.delete(configMaps, anywhere("verbs"), { uid: made.metadata.uid })).toBe(true);
    expect(await kube.delete(configMaps, anywhere("verbs"))).toBe(false);
    expect(await kube.find(configMaps, anywhere("verbs"))).toBeUndefined();
  });

  it("says what the API said: not there, there already, changed meanwhile, not valid, no such kind", async () => {
    const kube = client();
    const made = await kube.create(configMaps, configMap("said", {}));
    await kube.merge(configMaps, anywhere("said"), { data: { a: "1" } });
    await expect(kube.get(configMaps, anywhere("nobody"))).rejects.toEqual(
      failing("KUBE_NOT_FOUND", /configmaps "nobody" not found/),
    );
    await expect(kube.create(configMaps, configMap("said", {}))).rejects.toEqual(
      failing("KUBE_ALREADY_EXISTS", /configmaps default.said exists already|configmaps exists/),
    );
    await expect(kube.update(configMaps, made)).rejects.toEqual(
      failing("KUBE_CONFLICT", /configmaps default\/said was changed/),
    );
    await expect(kube.create(configMaps, configMap("Not A Name", {}))).rejects.toEqual(
      failing("KUBE_INVALID", /RFC 1123/),
    );
    const future: Resource = { ...configMaps, group: "tapline.dev", version: "v9" };
    await expect(kube.list(future)).rejects.toEqual(
      failing("KUBE_NOT_FOUND", /\(list configmaps\): HTTP 404: 404 page not found/),
    );
  });

  it("uses a token from a file, reads it again when it is refused, and names what is forbidden", async () => {
    await alone.kubectl.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "someone" } });
    await alone.kubectl.run("create", "clusterrole", "reads", "--verb=get,list", "--resource=configmaps");
    await alone.kubectl.run(
      "create",
      "clusterrolebinding",
      "reads",
      "--clusterrole=reads",
      "--serviceaccount=default:someone",
    );
    const token = (await alone.kubectl.run("create", "token", "someone")).trim();
    const file = join(alone.folder, "token");
    const config = join(alone.folder, "by-token");
    writeFileSync(file, "of.another.cluster");
    const users = [{ name: "someone", user: { tokenFile: "token" } }];
    const clusters = [{ name: "it", cluster: { server: alone.server, "certificate-authority": "pki/ca.crt" } }];
    const contexts = [{ name: "it", context: { cluster: "it", user: "someone" } }];
    writeFileSync(config, JSON.stringify({ "current-context": "it", contexts, clusters, users }));
    const kube = makeClient(direct(config));
    await expect(kube.list(configMaps)).rejects.toEqual(failing("KUBE_UNAUTHORIZED", /Unauthorized/));
    writeFileSync(file, token);
    await eventually("it may read", 10, async () => (await kube.list(configMaps)).items.length > 0);
    await expect(kube.create(configMaps, configMap("mine", {}))).rejects.toEqual(
      failing("KUBE_FORBIDDEN", /"system:serviceaccount:default:someone" cannot create resource "configmaps"/),
    );

    // As a pod has it: the same files in a folder of its own.
    writeFileSync(join(alone.folder, "ca.crt"), alone.pem("ca.crt"));
    writeFileSync(join(alone.folder, "namespace"), "default");
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(alone.port) };
    const inPod = makeClient(podAccess({ env, now: () => performance.now(), folder: alone.folder }));
    expect((await inPod.list(configMaps)).items.length).toBeGreaterThan(0);
  });

  it("does not trust a server with another authority's certificate", async () => {
    const kube = makeClient({ ...direct(alone.kubeconfig), ca: undefined });
    await expect(kube.list(configMaps)).rejects.toEqual(failing("KUBE_UNREACHABLE", /certificate/));
  });

  it("gives up an answer that does not come, and ends at once when told to", async () => {
    const kube = makeClient(through(way.url), { timeoutMs: 300 });
    way.ignore = () => true;
    const begun = performance.now();
    await expect(kube.list(configMaps)).rejects.toEqual(
      failing("KUBE_SILENT", /said nothing for 0.3 s \(list configmaps\)/),
    );
    expect(performance.now() - begun).toBeLessThan(1000);
    const enough = new AbortController();
    const slow = makeClient(through(way.url));
    const asked = slow.list(configMaps, { signal: enough.signal });
    setTimeout(() => enough.abort(new Error("enough")), 50);
    await expect(asked).rejects.toThrow("enough");
    way.ignore = () => false;
  });

  it("gives up when the apiserver stands still, and goes on when it does", async () => {
    const kube = makeClient(direct(alone.kubeconfig), { timeoutMs: 500 });
    await kube.list(configMaps);
    alone.freeze();
    try {
      await expect(kube.list(configMaps)).rejects.toEqual(failing("KUBE_SILENT", /configmaps/));
    } finally {
      alone.thaw();
    }
    await eventually("it answers", 10, async () => (await kube.list(configMaps)).items.length > 0);
  });

  it("takes an answer that is none of the API's as a failure", async () => {
    const kube = makeClient(through(way.url));
    way.refuse = () => true;
    await expect(kube.get(configMaps, anywhere("x"))).rejects.toEqual(
      failing("KUBE_FAILED", /get configmaps default\/x: HTTP 500: <html>upstream failed/),
    );
    way.refuse = () => false;
  });

  it("asks once more when a kept connection was closed meanwhile", async () => {
    const kube = makeClient(through(way.url));
    way.passed.length = 0;
    for (let turn = 0; turn < 20; turn++) {
      await kube.list(configMaps);
      way.closeIdle(); // the client has not heard of it yet
      await kube.list(configMaps);
    }
    expect(way.passed).toHaveLength(40);
  });

  it("says that nobody is there", async () => {
    const kube = makeClient({ server: new URL("http://127.0.0.1:1") });
    await expect(kube.list(configMaps)).rejects.toEqual(failing("KUBE_UNREACHABLE", /ECONNREFUSED/));
  });

  it("writes no faster than it may, and not at all once the fence throws", async () => {
    let open = true;
    const fence = (): void => {
      if (!open) throw new Error("fenced");
    };
    const figures = makeFigures();
    const kube = makeClient(direct(alone.kubeconfig), {
      writes: { perSecond: 20, burst: 5 },
      fence,
      metrics: figures.metrics,
    });
    const apply = (value: number) =>
      kube.apply(configMaps, configMap("rate", { value: String(value) }), { force: false });
    const begun = performance.now();
    await Promise.all(Array.from({ length: 25 }, (_, index) => apply(index)));
    expect(performance.now() - begun).toBeGreaterThan(990);
    const late = Promise.allSettled(Array.from({ length: 10 }, (_, index) => apply(100 + index)));
    open = false;
    const refused = (await late).filter(({ status }) => status === "rejected").length;
    expect(refused).toBeGreaterThanOrEqual(9); // one may have been on its way
    await expect(apply(1)).rejects.toThrow("fenced");
    await kube.list(configMaps);
    expect(await figures.of("tapline_operator_requests_total", { verb: "apply", code: "2xx" })).toBe(25 + 10 - refused);
  });
});
