// The values of charts/tapline: keys, ranges, defaults and meanings. values.yaml, values.schema.json and the table of the chart's README are made from
// this. What one key cannot show alone (an external NATS without Secrets, a tag `latest`) is refused by the chart's own checks, in templates/_checks.tpl.
import { z } from "zod";
import { loginKinds } from "./operator-config.ts";
import { severities } from "./severity.ts";

const name = z.string().max(253);
const portNumber = z.int().min(1024).max(65_535);
const labels = z.record(z.string(), z.string().max(63)).meta({ form: "labels" });
const annotations = z.record(z.string(), z.string().max(4096)).meta({ form: "annotations" });
/** A part of a pod or policy that Kubernetes checks itself. */
const asKubernetes = (kind: string) => z.looseObject({}).meta({ form: kind });

const image = (registry: string, repository: string, tag: string, tagMeaning: string) =>
  z.strictObject({
    registry: z.string().max(253).default(registry).describe("where it is pulled from, unless `imageRegistry` is set"),
    repository: z.string().min(1).max(255).default(repository).describe("its name there"),
    tag: z.string().max(128).default(tag).describe(tagMeaning),
    digest: z.string().max(71).default("").describe("sha256:…; it decides, whatever the tag is"),
    pullPolicy: z.enum(["IfNotPresent", "Always", "Never"]).default("IfNotPresent").describe("when nodes pull it"),
  });

const quantity = z.union([z.string().max(32), z.number()]).optional();
const quantities = z
  .strictObject({ cpu: quantity, memory: quantity, "ephemeral-storage": quantity })
  .meta({ form: "quantities" });
const resources = (requests: Record<string, string>, limits: Record<string, string>) =>
  z
    .strictObject({
      requests: quantities.default(requests).describe("what is set aside for it"),
      limits: quantities.default(limits).describe("what it may use at most"),
    })
    .prefault({});

const placement = {
  nodeSelector: labels.default({}).describe("labels of the nodes that it may run on"),
  tolerations: z.array(asKubernetes("tolerations")).max(32).default([]).describe("taints that it puts up with"),
  priorityClassName: name.default("system-cluster-critical").describe("its PriorityClass; empty: the usual one"),
};

const operator = z.strictObject({
  replicas: z.int().min(1).max(5).default(2).describe("one leads, the others wait to"),
  logLevel: z.enum(severities).default("info").describe("least urgent severity that is logged"),
  metricsPort: portNumber.default(9463).describe("port of /metrics, /healthz and /readyz"),
  drainSeconds: z
    .int()
    .min(10)
    .max(3600)
    .default(240)
    .describe(
      "time that nodes have to come clean when the release is uninstalled; beyond 4 minutes give helm a --timeout, too",
    ),
  resources: resources({ cpu: "50m", memory: "128Mi" }, { memory: "512Mi" }).describe("of its pods"),
  ...placement,
  affinity: asKubernetes("affinity").default({}).describe("beside the spread over nodes, which is always there"),
  podAnnotations: annotations.default({}).describe("annotations of its pods"),
});

const agents = z.strictObject({
  priorityClassName: name.min(1).default("system-node-critical").describe("PriorityClass of sensors and relays"),
  seccomp: z
    .strictObject({
      type: z
        .enum(["RuntimeDefault", "Localhost"])
        .default("RuntimeDefault")
        .describe("an old containerd's RuntimeDefault refuses bpf() to CAP_BPF alone: Localhost then"),
      localhostProfile: z.string().max(4096).default("").describe("file below the kubelet's folder of profiles"),
    })
    .prefault({}),
  relay: z
    .strictObject({
      memoryMiB: z.int().min(64).max(1_048_576).default(256).describe("memory of a relay's pod, at most"),
      cpu: z.number().min(0.01).max(256).default(0.1).describe("cores that a relay's pod asks for"),
      tolerations: z.array(asKubernetes("tolerations")).max(32).default([]).describe("taints that relays put up with"),
    })
    .prefault({}),
  labels: labels.default({}).describe("on all that the operator makes for agents"),
});

const nats = z.strictObject({
  url: z
    .array(z.string().min(1).max(2048))
    .max(16)
    .default([])
    .describe("servers of a NATS of your own, as tls://nats.example.com:4222; empty: the chart runs one"),
  login: z
    .enum(loginKinds)
    .default("user")
    .describe("how one logs in there, and the key of each Secret: user:password, a .creds file, a token, an nkey seed"),
  secrets: z
    .strictObject({
      operator: name.default("").describe("Secret with the operator's login"),
      sensor: name.default("").describe("Secret with the sensors' login"),
      relay: name.default("").describe("Secret with the relays' login"),
      console: name.default("").describe("Secret with the console's login; `helm test` reads reports with it"),
      ca: name.default("").describe("Secret whose ca.crt signs the servers' certificates; empty: one that all trust"),
    })
    .prefault({})
    .describe("of a NATS of your own; for the chart's they are made, and kept when it is upgraded"),
  image: image("docker.io", "library/nats", "2.15.2", "its tag").prefault({}).describe("of the chart's NATS"),
  storage: z
    .strictObject({
      type: z
        .enum(["Claim", "EmptyDir"])
        .default("Claim")
        .describe(
          "Claim outlives the pod; EmptyDir is for trying: plans come again from the operator, findings do not",
        ),
      sizeGiB: z.int().min(1).max(65_536).default(4).describe("nine tenths of it for streams"),
      className: name.default("").describe("StorageClass; empty: the cluster's own choice"),
    })
    .prefault({}),
  resources: resources({ cpu: "50m", memory: "64Mi" }, { memory: "256Mi" }).describe("of its pod"),
  ...placement,
});

const monitoring = z.strictObject({
  scrape: z
    .enum(["None", "PodMonitor", "ServiceMonitor"])
    .default("None")
    .describe("how a Prometheus Operator finds operator, sensors and relays"),
  interval: z.string().max(16).default("30s").describe("time between two scrapes"),
  labels: labels.default({}).describe("on monitors and rules: those that your Prometheus selects by"),
  rules: z.boolean().default(false).describe("a PrometheusRule with the alerts"),
  dashboards: z
    .strictObject({
      enabled: z.boolean().default(false).describe("dashboards as a ConfigMap that Grafana's sidecar takes"),
      labels: labels.default({ grafana_dashboard: "1" }).describe("labels that the sidecar looks for"),
      annotations: annotations.default({}).describe("annotations, as grafana_folder"),
    })
    .prefault({}),
});

export const chartValues = z.strictObject({
  global: z.looseObject({}).optional().describe("what a parent chart tells all its charts; not used"),
  nameOverride: z.string().max(30).default("").describe("in place of the chart's name"),
  fullnameOverride: z.string().max(36).default("").describe("in place of the release's and the chart's name"),
  fleet: z.string().min(1).max(40).default("default").describe("the cluster's name; fleets can share a NATS"),
  imageRegistry: z
    .string()
    .max(253)
    .default("")
    .describe("a registry for all images, as without a way to the Internet"),
  imagePullSecrets: z
    .array(z.strictObject({ name: name.min(1) }))
    .max(16)
    .default([])
    .describe("Secrets that registries ask for, as {name: …}; for the operator, NATS and all agents"),
  image: image("localhost", "tapline", "", "empty: the chart's appVersion")
    .prefault({})
    .describe("of operator and agents, as `make images` makes it"),
  listen: z.enum(["0.0.0.0", "::"]).default("0.0.0.0").describe(":: where pods have IPv6 only"),
  operator: operator.prefault({}),
  agents: agents.prefault({}),
  nats: nats.prefault({}),
  console: z
    .strictObject({ enabled: z.boolean().default(false).describe("there is none yet: true is refused") })
    .prefault({}),
  crds: z
    .strictObject({
      enabled: z.boolean().default(true).describe("install and upgrade the CustomResourceDefinitions"),
      keep: z
        .boolean()
        .default(true)
        .describe("false: uninstalling removes them, and with them every SensorPool and RelayRule"),
    })
    .prefault({}),
  networkPolicy: z
    .strictObject({
      enabled: z.boolean().default(false).describe("admit only those who have to reach NATS and the operator"),
      nodes: z
        .array(z.string().max(64))
        .max(256)
        .default([])
        .describe("addresses of the nodes, as 10.0.0.0/16: agents use the node's network, which no policy can select"),
      scrapers: z
        .array(asKubernetes("peers"))
        .max(32)
        .default([])
        .describe("who may read the operator's metrics, as a NetworkPolicy's `from`"),
    })
    .prefault({}),
  namespace: z
    .strictObject({
      create: z
        .boolean()
        .default(false)
        .describe("write the Namespace with its pod-security labels; for `helm template`: Helm itself needs it before"),
    })
    .prefault({}),
  monitoring: monitoring.prefault({}),
  test: z
    .strictObject({
      seconds: z.int().min(5).max(600).default(60).describe("how long `helm test` waits for a packet"),
    })
    .prefault({}),
});
