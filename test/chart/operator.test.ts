// The operator as the chart installs it: its configuration, its account, its rights and nothing beyond them; and its end by `--drain`, as the hook before `helm uninstall` runs it. The
// apiserver, the NATS, both programs are real. Nothing here runs pods: the test does what the cluster's controllers and kubelets would, and relays carry nothing.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { NatsServer } from "../bus/nats-server.ts";
import { checkout } from "../e2e/cluster/instance.ts";
import { eventually, type Manifest, type Said, say } from "../e2e/kubectl.ts";
import { ActingRelay } from "../kube/acting-relay.ts";
import { ApiserverAlone, firstStartMs } from "../kube/apiserver-alone.ts";
import { known } from "../kube/with-crds.ts";
import { chart, helm, type KubeObject, rendered, tool, objectsOf } from "./helm.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-chart-operator-"));
const audit = join(folder, "audit.log");
const namespace = "tapline-system";
const account = `system:serviceaccount:${namespace}:tapline-operator`;
const tapline = join(checkout, "bin/tapline");

let alone: ApiserverAlone;
let nats: NatsServer;
let operator: ChildProcess | undefined;
let said = "";
const relays: ActingRelay[] = [];
/** which node took which plan: node:outputs of each rule */
const taken: string[] = [];

beforeAll(async () => {
  await tool("helm");
  writeFileSync(join(folder, "policy.yaml"), stringify({ apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages: ["RequestReceived"], rules: [{ level: "Metadata", users: [account] }, { level: "None" }] })); // biome-ignore format: one object
  const flags = [`--audit-policy-file=${join(folder, "policy.yaml")}`, `--audit-log-path=${audit}`];
  [alone, nats] = await Promise.all([ApiserverAlone.start({ flags }), NatsServer.start()]);
  const installed = await helm(["install", "tapline", chart, "--namespace", namespace, "--create-namespace"], alone.kubeconfig); // biome-ignore format: one call
  expect(installed.stderr).toBe("");
  await known(alone);
  for (const [i, name] of ["core-1.example", "edge-1", "edge-2"].entries()) {
    await put({ apiVersion: "v1", kind: "Node", metadata: { name, labels: { role: name.slice(0, 4) } } });
    await alone.kubectl.run("patch", "node", name, "--subresource=status", "--type=merge", "-p", JSON.stringify({ status: { addresses: [{ type: "InternalIP", address: `10.0.0.${i + 1}` }] } })); // biome-ignore format: one call
  }
  await prepare();
}, firstStartMs);
afterAll(async () => {
  operator?.kill("SIGKILL");
  for (const relay of relays) await relay.close();
  await nats[Symbol.asyncDispose]();
  await alone[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const own = () => alone.kubectl.in(namespace);
const put = (...objects: Manifest[]) => own().apply(...objects);
const get = async (...what: string[]): Promise<string> =>
  (await own().run("get", "--ignore-not-found", ...what)).trim();
const condition = (object: string, type: string): Promise<string> =>
  get(object, "-o", `jsonpath={.status.conditions[?(@.type=="${type}")].status} {.status.conditions[?(@.type=="${type}")].reason}: {.status.conditions[?(@.type=="${type}")].message}`); // biome-ignore format: one call
const until = (object: string, type: string, expected: RegExp): Promise<unknown> =>
  eventually(`${object}: ${type} ${expected}`, 40, async () => expected.test(await condition(object, type)));

/** The release's configuration, with this machine's NATS; and the account's own token. */
async function prepare(): Promise<void> {
  const { data } = await own().get<{ data: Record<string, string> }>("configmap", "tapline-operator");
  const config = { ...(parse(data["operator.yaml"] ?? "") as object), nats: { url: nats.url }, metrics: { port: 0 } };
  writeFileSync(join(folder, "operator.yaml"), stringify(config));
  writeFileSync(join(folder, "hasty.yaml"), stringify({ ...config, drain: { deployment: "tapline-operator", timeout: "40s" } })); // biome-ignore format: one row
  const token = (await own().run("create", "token", "tapline-operator", "--duration=2h")).trim();
  const kubeconfig = {
    "current-context": "pod",
    contexts: [{ name: "pod", context: { cluster: "here", user: "pod" } }],
    clusters: [{ name: "here", cluster: { server: alone.server, "certificate-authority-data": Buffer.from(alone.pem("ca.crt")).toString("base64") } }],
    users: [{ name: "pod", user: { token } }],
  }; // biome-ignore format: one object
  writeFileSync(join(folder, "kubeconfig"), stringify(kubeconfig));
}
const words = (config: string): string[] => ["operator", "--config", join(folder, config), "--kubeconfig", join(folder, "kubeconfig")]; // biome-ignore format: one row

function startOperator(): void {
  operator = spawn(tapline, words("operator.yaml"), { stdio: ["ignore", "ignore", "pipe"] });
  operator.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-20_000)));
}

/** As the hook; meanwhile the Deployment's controller and the kubelets do what they are for. `dead`: nodes whose kubelet does nothing. */
async function drain(config: string, dead: readonly string[] = []): Promise<Said> {
  let over = false;
  const ended = say(tapline, [...words(config), "--drain"]).finally(() => (over = true));
  const one = async (): Promise<true | undefined> => {
    if (over) return true;
    const replicas = await get("deployment", "tapline-operator", "-o", "jsonpath={.spec.replicas}");
    if (replicas === "0" && operator?.exitCode === null && !operator.killed) operator.kill("SIGTERM");
    for (const component of ["sensor", "relay"]) {
      if ((await get("daemonsets", "-o", "name")).includes(component)) continue;
      for (const pod of (await get("pods", "-o", "name", "-l", `app.kubernetes.io/component=${component}`)).split("\n"))
        if (pod !== "" && !dead.some((node) => pod.includes(node))) await own().run("delete", pod, "--grace-period=0", "--force", "--wait=false"); // biome-ignore format: one row
    }
    return undefined;
  };
  await eventually("the drain's end", 200, one);
  return await ended;
}

const feed = { apiVersion: "tapline.dev/v1alpha1", kind: "RelayRule", metadata: { name: "feed" }, spec: { hops: [
  { name: "core", nodes: { names: ["core-1.example"] }, from: { interface: "eth1", group: "239.1.1.1", port: 5000 }, to: [{ hop: "edge" }] },
  { name: "edge", nodes: { selector: { matchLabels: { role: "edge" } } }, to: [{ interface: "eth2", group: "239.1.1.1", port: 5000, ttl: 4 }] },
] } }; // biome-ignore format: one object
const pool = { apiVersion: "tapline.dev/v1alpha1", kind: "SensorPool", metadata: { name: "edge" }, spec: { nodes: { selector: { matchLabels: { role: "edge" } } }, interfaces: [{ name: "eth1" }] } }; // biome-ignore format: one row
/** As a DaemonSet's controller makes it, as far as anybody here looks at it. */
const pod = (component: string, node: string): Manifest => ({ apiVersion: "v1", kind: "Pod", metadata: { name: `${component}-${node.slice(0, 6)}`, namespace, labels: { "app.kubernetes.io/name": "tapline", "app.kubernetes.io/instance": "tapline", "app.kubernetes.io/component": component } }, spec: { nodeName: node, serviceAccountName: `tapline-${component}`, containers: [{ name: "agent", image: "none" }] } }); // biome-ignore format: one object

async function act(...nodes: string[]): Promise<void> {
  const map = await eventually("the key is there", 30, async () => (await get("configmap", "tapline-plan-key", "-o", "json")) || undefined); // biome-ignore format: one row
  const pem = (JSON.parse(map) as { data: Record<string, string> }).data["operator.pem"] ?? "";
  for (const node of nodes) relays.push(new ActingRelay({ node, fleet: "default", url: nats.url, pem, took: (text) => taken.push(text) })); // biome-ignore format: one row
}

/** Of the operator, on nodes and in the API; not of Helm. */
async function left(): Promise<string[]> {
  const kinds = "daemonsets,pods,leases,fleetnodes,secrets/tapline-signing-key,configmaps/tapline-plan-key,configmaps/tapline-relay,configmaps/tapline-sensor-edge"; // biome-ignore format: one row
  const found = await Promise.all(kinds.split(",").map((kind) => get(...kind.split("/"), "-o", "name")));
  const labelled = await get("nodes", "-l", "tapline.dev/relay", "-o", "name");
  const held = await get("sensorpools,relayrules", "-o", "jsonpath={.items[*].metadata.finalizers}");
  return [...found, labelled, held].filter((text) => text !== "");
}

test("under the chart's rights it does all of its work, tells of pods that the namespace forbids, and --drain leaves nothing", async () => {
  startOperator();
  await put(feed, pool);
  await act("core-1.example", "edge-1", "edge-2");
  await until("relayrule/feed", "Ready", /^True /);
  await eventually("the sensors' DaemonSet", 20, async () => (await get("daemonset", "tapline-sensor-edge", "-o", "name")) !== ""); // biome-ignore format: one row

  // What the DaemonSet's controller writes when a namespace forbids its pods.
  const short = (current: number) => own().run("patch", "daemonset", "tapline-sensor-edge", "--subresource=status", "--type=merge", "-p", JSON.stringify({ status: { desiredNumberScheduled: 2, currentNumberScheduled: current } })); // biome-ignore format: one call
  await put({ apiVersion: "v1", kind: "Event", metadata: { name: "tapline-sensor-edge.1", namespace }, involvedObject: { apiVersion: "apps/v1", kind: "DaemonSet", name: "tapline-sensor-edge", namespace }, reason: "FailedCreate", type: "Warning", lastTimestamp: new Date().toISOString().replace(/\.\d+Z$/, "Z"), message: 'Error creating: pods "tapline-sensor-edge-x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' }); // biome-ignore format: one object
  await until("sensorpool/edge", "Ready", /^False SensorsStarting/);
  await short(0);
  await until("sensorpool/edge", "Ready", /^False PodsRefused: 2 of 2 pods are refused: namespace tapline-system enforces the pod-security level baseline, .*kubectl label --overwrite namespace tapline-system/); // biome-ignore format: one call
  await short(2);
  await until("sensorpool/edge", "Ready", /^False SensorsStarting/);

  const others = { ...pool, metadata: { name: "other" } };
  await put(others); // refused: the older one has the interface
  await until("sensorpool/other", "Accepted", /^False InterfaceClaimed/);
  await alone.kubectl.run("delete", "sensorpool", "other", "--timeout=30s");

  await put(...["sensor", "relay"].flatMap((component) => ["edge-1", "edge-2"].map((node) => pod(component, node))), pod("relay", "core-1.example")); // biome-ignore format: one call
  // The sender takes its time: the receivers go on meanwhile.
  const [core] = relays;
  if (core) core.slowMs = 2000;
  taken.length = 0;
  const ended = await drain("operator.yaml");
  expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^nothing of fleet default runs on nodes/) as string }); // biome-ignore format: one row
  expect(taken[0]).toBe("core-1.example:");
  expect(taken.slice(1).sort()).toEqual(["edge-1:", "edge-2:"]);
  expect(await left()).toEqual([]);
  // What users asked for is theirs: it stays, says that nothing of it runs, and goes when they want it to.
  await until("relayrule/feed", "Ready", /^False Uninstalled: /);
  await until("sensorpool/edge", "Ready", /^False Uninstalled: /);
  await alone.kubectl.run("delete", "relayrules,sensorpools", "--all", "--timeout=10s");
}, 300_000);

test("a node that does not come clean is named, and everything else is taken back all the same", async () => {
  for (const relay of relays.splice(0)) await relay.close();
  startOperator();
  await put(feed, pool);
  await act("core-1.example", "edge-1");
  await eventually("packets go to the node that lives", 40, async () => taken.includes("core-1.example:1"));
  await put(pod("relay", "core-1.example"), pod("relay", "edge-1"), pod("relay", "edge-2"));
  const ended = await drain("hasty.yaml", ["edge-2"]);
  expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/taken back: edge-2 \(its relay is silent\) \(DRAIN_INCOMPLETE\)/) as string }); // biome-ignore format: one row
  expect(await left()).toEqual(["pod/relay-edge-2"]);
}, 300_000);

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly verbs: string[];
}
interface Asked {
  readonly verb: string;
  readonly objectRef?: { readonly apiGroup?: string; readonly resource: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code: number };
}

test("every right that the chart gives it was used in this, and none was missing", async () => {
  if (operator?.exitCode === null && operator.signalCode === null) await once(operator, "exit");
  const asked = readFileSync(audit, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Asked); // biome-ignore format: one chain
  expect(asked.filter(({ responseStatus }) => responseStatus?.code === 403)).toEqual([]);
  const used = new Set(
    asked.flatMap(({ verb, objectRef, responseStatus }) => {
      if (!objectRef) return [];
      const { apiGroup = "", resource, subresource } = objectRef;
      const what = `${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
      // Applied on the server: who makes an object so needs both.
      return responseStatus?.code === 201 ? [`create ${what}`, `${verb} ${what}`] : [`${verb} ${what}`];
    }),
  );
  const roles = objectsOf(await rendered()).filter(({ kind }) => kind === "Role" || kind === "ClusterRole") as (KubeObject & { rules: Rule[] })[]; // biome-ignore format: one row
  const given = roles.flatMap(({ rules }) => rules.flatMap(({ apiGroups, resources, verbs }) => apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`))))); // biome-ignore format: one expression
  expect(given.filter((right) => !used.has(right)).sort()).toEqual([
    "patch events.k8s.io/events", // the same again within minutes is counted in the first
    // Where the apiserver has the admission plugin for it, which it has not by default.
    "update tapline.dev/relayrules/finalizers",
    "update tapline.dev/sensorpools/finalizers",
  ]);
});
