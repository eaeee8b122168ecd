// The life of a release on a real kube-apiserver: everything is taken, an upgrade changes no password, uninstalling leaves nothing. Nothing runs here: hooks,
// which are pods, are left out.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Said } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "../kube/apiserver-alone.ts";
import { chart, helm, type KubeObject, rendered, tool, valueFiles, values } from "./helm.ts";

let alone: ApiserverAlone;
beforeAll(async () => {
  await tool("helm");
  alone = await ApiserverAlone.start();
}, firstStartMs);
afterAll(() => alone[Symbol.asyncDispose]());

let namespace: string;
let count = 0;
beforeEach(() => {
  namespace = `tapline-${++count}`;
});
// One a cluster: what a failed test leaves is not the next one's.
afterEach(async () => {
  await tryRelease("uninstall");
  await alone.kubectl.run("delete", "crds", "-l", "app.kubernetes.io/instance=tapline");
});

async function release(verb: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await tryRelease(verb, ...more);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}
const tryRelease = (verb: string, ...more: string[]): Promise<Said> => {
  const what = verb === "uninstall" ? ["--no-hooks"] : [chart];
  const where = ["--namespace", namespace, ...(verb === "install" ? ["--create-namespace"] : [])];
  return helm([verb, "tapline", ...what, ...where, ...more], alone.kubeconfig);
};

const secret = async (name: string): Promise<Record<string, string>> =>
  (await alone.kubectl.in(namespace).get<{ data: Record<string, string> }>("secret", name)).data;
const roles = ["operator", "sensor", "relay", "console"];
const secrets = async () =>
  Object.fromEntries(
    await Promise.all([...roles, "ca", "server"].map(async (of) => [of, await secret(`tapline-nats-${of}`)] as const)),
  );
const statefulSet = () =>
  alone.kubectl.in(namespace).get<KubeObject & { metadata: { generation: number } }>("statefulset", "tapline-nats");

const kinds =
  "deployments,statefulsets,daemonsets,jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,leases";
/** Of the release, in its namespace and above it; not what Kubernetes itself puts into every namespace. */
async function left(): Promise<string[]> {
  const own = (text: string): string[] =>
    text.split("\n").filter((line) => line !== "" && !/kube-root-ca\.crt|serviceaccount\/default$/.test(line));
  const all = await alone.kubectl.in(namespace).run("get", kinds, "-o", "name");
  const above = await alone.kubectl.run("get", "clusterroles,clusterrolebindings,crds", "-o", "name", "-l", "app.kubernetes.io/instance=tapline"); // biome-ignore format: one line
  return [...own(all), ...own(above)];
}

it.each(valueFiles)(
  "the apiserver takes every object, also where pods must be restricted, with the values %s",
  async (name) => {
    await alone.kubectl.run("create", "namespace", namespace);
    const level = ["enforce", "warn"].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`);
    await alone.kubectl.run("label", "namespace", namespace, ...level);
    await alone.kubectl.in(namespace).run("create", "serviceaccount", "default"); // else a controller's work
    // What is of the Prometheus Operator it does not know.
    const plain = ["--set", "monitoring.scrape=None,monitoring.rules=false,namespace.create=false"];
    const text = await rendered("--values", values(name), ...plain, "--namespace", namespace);
    const dry = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    expect(await alone.kubectl.in(namespace).try(dry, text)).toMatchObject({ code: 0, stderr: "" });
  },
);

describe("a release", () => {
  it("keeps its passwords and certificates over an upgrade, and NATS runs on", async () => {
    await release("install");
    const before = await secrets();
    const { metadata } = await statefulSet();
    expect(new Set(roles.map((role) => before[role]?.["user"]))).toHaveLength(roles.length);
    await release("upgrade");
    await release("upgrade", "--set", "operator.replicas=3");
    expect(await secrets()).toEqual(before);
    expect((await statefulSet()).metadata.generation).toBe(metadata.generation);
  });

  it("makes anew what was deleted, that alone, and starts NATS with it", async () => {
    await release("install");
    const before = await secrets();
    const { metadata } = await statefulSet();
    await alone.kubectl.in(namespace).run("delete", "secret", "tapline-nats-sensor");
    await release("upgrade");
    const after = await secrets();
    const same = (names: string[]) => names.every((name) => after[name]?.["user"] === before[name]?.["user"]);
    expect(after["sensor"]).not.toEqual(before["sensor"]);
    expect(same(["operator", "relay", "console"])).toBe(true);
    expect(after["ca"]).toEqual(before["ca"]);
    expect(Buffer.from(after["server"]?.["passwords.conf"] ?? "", "base64").toString()).toContain(
      `sensor_password: "${Buffer.from(after["sensor"]?.["user"] ?? "", "base64")
        .toString()
        .slice("sensor:".length)}"`,
    );
    const second = (await statefulSet()).metadata.generation;
    expect(second).toBe(metadata.generation + 1);

    // The authority's key is not kept: a new certificate has a new authority.
    await alone.kubectl.in(namespace).run("delete", "secret", "tapline-nats-ca");
    await release("upgrade");
    const third = await secrets();
    expect(third["ca"]).not.toEqual(after["ca"]);
    expect(third["server"]?.["tls.crt"]).not.toBe(after["server"]?.["tls.crt"]);
    expect(third["sensor"]).toEqual(after["sensor"]);
    expect((await statefulSet()).metadata.generation).toBe(second + 1);
  });

  it("leaves nothing when it goes, but the definitions, which a new one takes back", async () => {
    await release("install", "--set", "networkPolicy.enabled=true,networkPolicy.nodes={10.0.0.0/8}");
    expect((await left()).length).toBeGreaterThan(15);
    await release("uninstall");
    const kept = await left();
    expect(kept.every((name) => name.startsWith("customresourcedefinition"))).toBe(true);
    expect(kept).toHaveLength(3);
    await release("install");
    await release("uninstall");
    expect(await left()).toEqual(kept);
  });

  it("leaves nothing at all with crds.keep=false", async () => {
    await release("install", "--set", "crds.keep=false");
    expect((await left()).filter((name) => name.startsWith("customresourcedefinition"))).toHaveLength(3);
    await release("uninstall");
    expect(await left()).toEqual([]);
  });

  it("is the only one of its cluster", async () => {
    await release("install");
    const first = namespace;
    namespace = `${namespace}-second`;
    const { code, stderr } = await tryRelease("install");
    expect(code).toBe(1);
    expect(stderr).toMatch(/exists and cannot be imported into the current release|conflict/);
    namespace = first;
  });

  it("says so when its namespace will refuse agents", async () => {
    await alone.kubectl.run("create", "namespace", namespace);
    await alone.kubectl.run("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted");
    expect(await release("install")).toContain(`WARNING: namespace ${namespace} enforces the pod-security level restricted`); // biome-ignore format: one line
  });
});

it("the operator's account may do what its rights say, and nothing of other namespaces", async () => {
  await release("install");
  const as = ["--as", `system:serviceaccount:${namespace}:tapline-operator`];
  const can = async (...words: string[]): Promise<string> =>
    (await alone.kubectl.in(namespace).try(["auth", "can-i", ...words, ...as])).stdout.trim();
  expect(await can("patch", "nodes")).toBe("yes");
  expect(await can("delete", "nodes")).toBe("no");
  expect(await can("create", "daemonsets.apps")).toBe("yes");
  expect(await can("create", "daemonsets.apps", "-n", "kube-system")).toBe("no");
  expect(await can("get", "secrets/tapline-signing-key")).toBe("yes");
  expect(await can("get", "secrets/tapline-nats-operator")).toBe("no");
  expect(await can("list", "secrets")).toBe("no");
  expect(await can("update", "leases.coordination.k8s.io/tapline-operator")).toBe("yes");
  expect(await can("update", "leases.coordination.k8s.io/other")).toBe("no");
  expect(await can("create", "pods")).toBe("no");
});
