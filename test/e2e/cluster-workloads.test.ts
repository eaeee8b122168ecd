// What a real Kubernetes does for the project, on whichever cluster E2E_PROVIDER names: it must hold before any story can be told there.
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { eventually, type Kubectl, type Manifest } from "./kubectl.ts";
import { checkout } from "./cluster/instance.ts";
import { node, pod, workload } from "./manifests.ts";
import { type Stage, stage } from "./provider.ts";

// Each step has a time of its own; this one only ends what hangs.
vi.setConfig({ testTimeout: 180_000 });

interface Pod {
  metadata: { name: string };
  spec: { nodeName: string };
  status: { phase: string; hostIP: string; podIP: string };
}
interface List<T> {
  items: T[];
}

let opened: Stage;
let kubectl: Kubectl;
let image: string;

// The first time on a machine, Kubernetes and the image are built.
beforeAll(async () => {
  opened = await stage();
  ({ kubectl, image } = opened);
}, 1_500_000);
afterAll(() => opened[Symbol.asyncDispose](), 60_000);

const podsOf = async (app: string): Promise<Pod[]> => (await kubectl.get<List<Pod>>("pods", "-l", `app=${app}`)).items;
const rolledOut = (what: string): Promise<string> => kubectl.run("rollout", "status", what, "--timeout=90s");
/** Of a node script in a pod. */
const inPod = async (name: string, script: string): Promise<string> =>
  (await kubectl.run("exec", name, "--", "/opt/tapline/node_modules/.bin/node", "-e", script)).trim();

/** Says which pod answered. */
const server =
  "require('http').createServer((q, a) => { console.log(q.url); a.end(require('os').hostname()) }).listen(8080)";

/** What the agents are given, and nothing else; the numbers are the kernel's. */
const capabilities = { NET_ADMIN: 12, NET_RAW: 13, IPC_LOCK: 14, SYS_NICE: 23, PERFMON: 38, BPF: 39 };

test("a DaemonSet in the nodes' network has exactly the capabilities that it asks for, on three nodes", async () => {
  const securityContext = {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"], add: Object.keys(capabilities) },
  };
  await kubectl.apply(
    workload(
      "DaemonSet",
      "agent",
      {
        image,
        ...node("console.log(require('fs').readFileSync('/proc/self/status', 'utf8')); setInterval(() => {}, 1e6)"),
        securityContext,
      },
      { pod: { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" } },
    ),
  );
  await rolledOut("daemonset/agent");
  const pods = await podsOf("agent");
  expect(new Set(pods.map(({ spec }) => spec.nodeName)).size).toBe(3);
  const wanted = Object.values(capabilities).reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
  for (const { metadata, status } of pods) {
    const said = await kubectl.run("logs", metadata.name);
    expect(BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(said)?.[1]}`)).toBe(wanted);
    expect(status.podIP).toBe(status.hostIP);
  }
});

test("a Service is reached by its name from a pod and from a pod in the node's network, and spreads over its pods", async () => {
  await kubectl.apply(
    workload(
      "Deployment",
      "web",
      { image, ...node(server), readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 } },
      { spec: { replicas: 3 } },
    ),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
    },
    pod("client", { image, ...node("setInterval(() => {}, 1e6)") }),
  );
  await rolledOut("deployment/web");
  await kubectl.run("wait", "pod/client", "--for=condition=Ready", "--timeout=60s");
  const [agent] = await podsOf("agent");
  const names = (await podsOf("web")).map(({ metadata }) => metadata.name).sort();
  expect(names).toHaveLength(3);
  const ask = `(async () => { const seen = new Set(); for (let i = 0; i < 60 && seen.size < 3; i++)
    seen.add(await (await fetch('http://web.${kubectl.namespace}.svc.cluster.local/', { headers: { connection: 'close' } })).text());
    console.log([...seen].sort().join()) })()`;
  for (const from of ["client", agent?.metadata.name ?? ""])
    expect(await eventually(`web by its name from ${from}`, 20, () => inPod(from, ask))).toBe(names.join());
  // A pod that asks its own Service may be answered by itself: the way back must go through the service too.
  expect(await inPod(names[0] ?? "", ask)).toBe(names.join());
});

test("logs, exec and port-forward reach a pod", async () => {
  const [web] = await podsOf("web");
  const name = web?.metadata.name ?? "";
  const forward: ChildProcess = spawn(...kubectl.words(["port-forward", `pod/${name}`, ":8080"]), {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const port = await new Promise<string>((resolve, reject) => {
      forward.once("exit", () => reject(new Error("port-forward ended")));
      forward.stdout?.setEncoding("utf8").on("data", (text: string) => {
        const found = /127\.0\.0\.1:(\d+)/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    expect(await (await fetch(`http://127.0.0.1:${port}/forwarded`)).text()).toBe(name);
  } finally {
    forward.kill();
  }
  expect(await kubectl.run("logs", name)).toContain("/forwarded");
  expect(await kubectl.run("exec", name, "--", "sh", "-c", "echo $((6 * 7)); hostname")).toBe(`42\n${name}\n`);
  const failed = await kubectl.try(["exec", name, "--", "sh", "-c", "exit 7"]);
  expect(failed.code).toBe(7);
});

test("a Lease changes hands only for the one who has read it last", async () => {
  const lease = (holder: string, version?: string): Manifest => ({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "leader", ...(version !== undefined && { resourceVersion: version }) },
    spec: { holderIdentity: holder, leaseDurationSeconds: 15, renewTime: "2026-01-02T03:04:05.678901Z" },
  });
  await kubectl.apply(lease("first"));
  const read = await kubectl.get<{ metadata: { resourceVersion: string } }>("lease/leader");
  const replace = (holder: string) =>
    kubectl.try(["replace", "-f", "-"], JSON.stringify(lease(holder, read.metadata.resourceVersion)));
  expect((await replace("second")).code).toBe(0);
  const late = await replace("third");
  expect(late.code).not.toBe(0);
  expect(late.stderr).toContain("Conflict");
  const held = await kubectl.get<{ spec: { holderIdentity: string; renewTime: string } }>("lease/leader");
  expect(held.spec).toMatchObject({ holderIdentity: "second", renewTime: "2026-01-02T03:04:05.678901Z" });
});

test("a CRD's CEL rules are enforced, at creation and between two versions", async () => {
  const group = `${kubectl.namespace}.tapline.dev`;
  const rules = [
    { rule: "self.least <= self.most", message: "least may not exceed most" },
    { rule: "cidr('224.0.0.0/4').containsIP(self.group)", message: "group is not multicast" },
  ];
  const crd: Manifest = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `probes.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "probes", singular: "probe", kind: "Probe" },
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: {
                spec: {
                  type: "object",
                  required: ["least", "most", "group"],
                  properties: {
                    least: { type: "integer" },
                    most: { type: "integer" },
                    group: {
                      type: "string",
                      maxLength: 45,
                      "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "group stays" }],
                    },
                  },
                  "x-kubernetes-validations": rules,
                },
              },
            },
          },
        },
      ],
    },
  };
  const probe = (spec: object): Manifest => ({
    apiVersion: `${group}/v1alpha1`,
    kind: "Probe",
    metadata: { name: "one" },
    spec,
  });
  await kubectl.apply(crd);
  try {
    await kubectl.run("wait", `crd/probes.${group}`, "--for=condition=Established", "--timeout=30s");
    const refused = async (spec: object): Promise<string> => {
      const { code, stderr } = await kubectl.tryApply(probe(spec));
      expect(code).not.toBe(0);
      return stderr;
    };
    expect(await refused({ least: 2, most: 1, group: "239.0.0.1" })).toContain("least may not exceed most");
    expect(await refused({ least: 1, most: 2, group: "10.0.0.1" })).toContain("group is not multicast");
    await kubectl.apply(probe({ least: 1, most: 2, group: "239.0.0.1" }));
    expect(await refused({ least: 1, most: 2, group: "239.0.0.2" })).toContain("group stays");
  } finally {
    await kubectl.run("delete", "crd", `probes.${group}`);
  }
});

test("why a pod cannot run is told by an event, and an event of our own is kept", async () => {
  await kubectl.apply(pod("nowhere", { image, ...node("") }, { nodeSelector: { "tapline.dev/no-such": "node" } }));
  interface Event {
    reason: string;
    note: string;
    regarding: { name: string };
  }
  const events = async (): Promise<Event[]> => (await kubectl.get<List<Event>>("events.events.k8s.io")).items;
  const told = await eventually("the scheduler's event", 20, async () =>
    (await events()).find(({ reason, regarding }) => reason === "FailedScheduling" && regarding.name === "nowhere"),
  );
  expect(told.note).toContain("didn't match Pod's node affinity/selector");
  const { metadata } = await kubectl.get<{ metadata: { uid: string } }>("pod/nowhere");
  await kubectl.apply({
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: "ours" },
    eventTime: "2026-01-02T03:04:05.000001Z",
    type: "Warning",
    reason: "LossSeen",
    action: "Watch",
    note: "12 packets never came",
    reportingController: "tapline.dev/sensor",
    reportingInstance: "sensor-1",
    regarding: { apiVersion: "v1", kind: "Pod", name: "nowhere", namespace: kubectl.namespace, uid: metadata.uid },
  });
  expect(await kubectl.run("describe", "pod", "nowhere")).toMatch(
    /Warning\s+LossSeen\s.*tapline.dev\/sensor.*\s12 packets never came/,
  );
  await kubectl.run("delete", "pod", "nowhere", "--wait=false");
});

test("a drained node loses its pods but for the DaemonSet's, and takes pods again when it is back", async () => {
  const [first] = await podsOf("web");
  const drained = first?.spec.nodeName ?? "";
  const nodesOf = async (app: string): Promise<string[]> =>
    (await podsOf(app)).filter(({ status }) => status.phase === "Running").map(({ spec }) => spec.nodeName);
  await kubectl.run("drain", drained, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s");
  try {
    await rolledOut("deployment/web");
    expect(await nodesOf("web")).not.toContain(drained);
    expect(await nodesOf("agent")).toContain(drained);
  } finally {
    await kubectl.run("uncordon", drained);
  }
  await kubectl.run("scale", "deployment/web", "--replicas=9");
  await rolledOut("deployment/web");
  expect(await nodesOf("web")).toContain(drained);
});

/** A pod that runs to its end; what it said. */
async function ended(manifest: Manifest, seconds = 60): Promise<string> {
  const name = `pod/${manifest.metadata.name}`;
  await kubectl.apply(manifest);
  const phase = await eventually(`the end of ${name}`, seconds, async () => {
    const { status } = await kubectl.get<Pod>(name);
    return ["Succeeded", "Failed"].includes(status.phase) ? status.phase : undefined;
  });
  const said = await kubectl.run("logs", name);
  expect(phase, said).toBe("Succeeded");
  return said;
}

test("the project's image answers --version, not as root and on a file system that cannot be written", async () => {
  const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
  const securityContext = {
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
  };
  const said = await ended(pod("version", { image, args: ["--version"], securityContext }, { restartPolicy: "Never" }));
  expect(said.trim()).toBe(version);
});

test("the project's image analyzes: what a capture lacks is found in a pod too", async () => {
  const script = `cd /tmp && tapline pcap generate --packets 20k --flows 50 --protocol mixed --loss 1% --seed 7 --output made.pcap --truth truth.json >/dev/null \
    && tapline analyze made.pcap found.db --truth truth.json --json`;
  const said = await ended(pod("analysis", { image, command: ["sh", "-c", script] }, { restartPolicy: "Never" }));
  expect(said).toContain('"lost"');
});

test("the project's image starts a sensor in the node's network with single capabilities, and it is ready", async () => {
  const config =
    "interfaces: [{name: lo}]\nstore: {path: /var/lib/tapline/sensor.db}\nbudget: {memoryMiB: 256}\ncapture: {ring: {blockKiB: 256, blocks: 16}}\nmetrics: {port: 19464}\napi: {port: 13001}\n";
  const securityContext = {
    runAsUser: 0,
    capabilities: { drop: ["ALL"], add: ["NET_RAW", "NET_ADMIN", "BPF", "PERFMON", "IPC_LOCK", "SYS_NICE"] },
  };
  await kubectl.apply(
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "sensor" }, data: { "sensor.yaml": config } },
    pod(
      "sensor",
      {
        image,
        args: ["sensor", "--config", "/etc/tapline/sensor.yaml"],
        securityContext,
        volumeMounts: [
          { name: "config", mountPath: "/etc/tapline" },
          { name: "data", mountPath: "/var/lib/tapline" },
        ],
      },
      {
        hostNetwork: true,
        terminationGracePeriodSeconds: 10,
        volumes: [
          { name: "config", configMap: { name: "sensor" } },
          { name: "data", emptyDir: {} },
        ],
      },
    ),
  );
  await kubectl.run("wait", "pod/sensor", "--for=condition=Ready", "--timeout=60s");
  const ready = "fetch('http://127.0.0.1:19464/readyz').then(async (answer) => console.log(answer.status))";
  const answer = await eventually("the sensor's readiness", 30, async () =>
    (await inPod("sensor", ready)) === "200" ? "200" : undefined,
  );
  expect(answer, await kubectl.run("logs", "sensor")).toBe("200");
  await kubectl.run("delete", "pod", "sensor", "--timeout=30s");
});

test("the project's image relays: what a pod sends it arrives where its rule says, and each packet is counted", async () => {
  const packets = 500;
  const counting = `const s = require('dgram').createSocket('udp4'); let n = 0; s.on('message', () => n++).bind(6000);
    require('http').createServer((q, a) => a.end(String(n))).listen(8080)`;
  const config = "engines: {bpffs: /tmp/none}\nlog: {level: notice}\n";
  const security = (...add: string[]) => ({ runAsUser: 0, capabilities: { drop: ["ALL"], add } });
  await kubectl.apply(
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "relay" }, data: { "relay.yaml": config } },
    pod("listener", { image, ...node(counting) }),
    pod(
      "relay",
      {
        image,
        args: ["relay", "--config", "/etc/tapline/relay.yaml"],
        securityContext: security("NET_RAW", "NET_ADMIN", "BPF", "PERFMON", "IPC_LOCK"),
        volumeMounts: [
          { name: "config", mountPath: "/etc/tapline" },
          { name: "run", mountPath: "/run/tapline" },
          { name: "data", mountPath: "/var/lib/tapline" },
        ],
      },
      {
        terminationGracePeriodSeconds: 10,
        volumes: [
          { name: "config", configMap: { name: "relay" } },
          { name: "run", emptyDir: {} },
          { name: "data", emptyDir: {} },
        ],
      },
    ),
  );
  await kubectl.run("wait", "pod/relay", "pod/listener", "--for=condition=Ready", "--timeout=60s");
  const [to, from] = await Promise.all(
    ["listener", "relay"].map(async (name) => (await kubectl.get<Pod>(`pod/${name}`)).status.podIP),
  );
  const tapline = (...words: string[]): Promise<string> => kubectl.run("exec", "relay", "--", "tapline", ...words);
  await eventually("the relay's answer", 30, () => tapline("rules", "ping"));
  const { engines } = JSON.parse(await tapline("rules", "workers", "--json")) as { engines: { available: boolean }[] };
  expect(engines.map(({ available }) => available)).toEqual([true, true, true]);
  await tapline("rules", "add", "--id", "feed", "--from", `eth0,${from}:5000`, "--to", `eth0,${to}:6000,ttl=8,source=${from}`); // biome-ignore format: one command
  await eventually("the rule's outputs are ready", 30, async () => {
    const [rule] = JSON.parse(await tapline("rules", "list", "--json")).rules as { standing: { state: string } }[];
    return rule?.standing.state === "active" || undefined;
  });
  const sending = `const s = require('dgram').createSocket('udp4'); let left = ${packets};
    const next = () => s.send('x', 5000, '${from}', () => --left > 0 ? setTimeout(next, 1) : s.close()); next();`;
  await inPod("listener", sending);
  const heard = "fetch('http://127.0.0.1:8080').then(async (answer) => console.log(await answer.text()))";
  expect(
    await eventually("all packets", 20, async () => (await inPod("listener", heard)) === String(packets) || undefined),
    await tapline("rules", "stats", "feed"),
  ).toBe(true);
  const counted = await eventually("the rule's figures of the next second", 10, async () => {
    const [feed] = JSON.parse(await tapline("rules", "stats", "feed", "--json")).rules as Record<string, unknown>[];
    return feed?.["matched"] === packets ? feed : undefined;
  });
  expect(counted).toMatchObject({ matched: packets, packets_relayed: packets, refused: {}, dropped: {} });
  await kubectl.run("delete", "pod", "relay", "listener", "--timeout=30s");
});
