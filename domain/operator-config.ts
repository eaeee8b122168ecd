// The operator's configuration file: keys, ranges, defaults and meanings. charts/tapline writes it; what the agents do is not in it, but in SensorPools
// and RelayRules: here is what the operator must know to run them. docs/reference/operator-config.md is made from this.
import { z } from "zod";
import {
  exportSection,
  fleetName,
  live,
  logSection,
  metricsKeys,
  natsSection,
  profilingSection,
  samePorts,
  whatever,
} from "./agent-config.ts";
import { duration, kubernetesName, labelMap, path, shortName } from "./config-values.ts";

/** A login's file is the key of its Secret that has the same name. */
export const loginKinds = ["user", "creds", "token", "nkey"] as const;

const agentsNats = z.strictObject({
  login: z
    .enum(loginKinds)
    .default("user")
    .describe("how agents log in, and the key of their Secrets: user:password, a .creds file, a token, an nkey seed"),
  sensorSecret: kubernetesName.describe("Secret with the sensors' login"),
  relaySecret: kubernetesName.describe("Secret with the relays' login"),
  caSecret: kubernetesName
    .optional()
    .describe("Secret whose `ca.crt` signs the servers' certificates; absent: one that everybody trusts"),
});

const seccomp = z
  .strictObject({
    type: z
      .enum(["RuntimeDefault", "Localhost"])
      .default("RuntimeDefault")
      .describe("RuntimeDefault of an old containerd refuses bpf() to CAP_BPF alone: Localhost then"),
    localhostProfile: path.optional().describe("below the kubelet's folder of profiles; with type Localhost"),
  })
  .superRefine(({ type, localhostProfile }, context) => {
    const add = (message: string): void => context.addIssue({ code: "custom", path: ["localhostProfile"], message });
    if (type === "Localhost" && localhostProfile === undefined) add("is needed with type Localhost");
    if (type !== "Localhost" && localhostProfile !== undefined) add(`has no effect with type ${type}`);
  });

/** As core/v1 Toleration, without a time: agents are to stay. */
const toleration = z.strictObject({
  key: z.string().max(317).optional().describe("the taint's key; absent, with operator Exists: every taint"),
  operator: z.enum(["Exists", "Equal"]).default("Equal").describe("Exists: whatever the taint's value is"),
  value: z.string().max(63).optional().describe("the taint's value"),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional().describe("absent: every effect"),
});

const relay = z.strictObject({
  memoryMiB: z
    .int()
    .min(64)
    .max(2 ** 20)
    .default(256)
    .describe("memory of a relay's pod, at most; a pool's sensors have it from SensorPool.spec.budget"),
  cpu: z.number().min(0.01).max(256).default(0.1).describe("cores that a relay's pod asks for"),
  tolerations: z.array(toleration).max(32).default([]).describe("taints that relays put up with"),
});

const agents = z.strictObject({
  image: z.string().min(1).max(1024).describe("reference of the agents' image, with a tag or a digest"),
  pullPolicy: z.enum(["IfNotPresent", "Always", "Never"]).default("IfNotPresent").describe("when nodes pull it"),
  pullSecrets: z.array(kubernetesName).max(16).default([]).describe("Secrets that its registry asks for"),
  labels: labelMap.describe("on all that the operator makes in its namespace, beside its own labels"),
  sensorAccount: kubernetesName.default("tapline-sensor").describe("ServiceAccount of the sensors"),
  relayAccount: kubernetesName.default("tapline-relay").describe("ServiceAccount of the relays"),
  priorityClass: kubernetesName.default("system-node-critical").describe("PriorityClass of the agents"),
  nats: agentsNats,
  seccomp: seccomp.prefault({}).describe("system calls that agents may make"),
  relay: relay.prefault({}),
});

const drain = z.strictObject({
  deployment: kubernetesName
    .optional()
    .describe("the operator's own Deployment, which `--drain` scales to 0 first; absent: nothing is scaled"),
  timeout: duration("10s", "1h").prefault("4m").describe("for nodes to come clean; those that did not are named"),
});

export const operatorConfig = z
  .strictObject({
    name: z.string().min(1).max(253).optional().describe("this process's name in the Lease; absent: the host's name"),
    fleet: fleetName,
    namespace: kubernetesName.describe("where the operator and its agents live"),
    lease: shortName.default("tapline-operator").describe("Lease that says which operator leads"),
    nats: natsSection("operator", {}).describe("reports and plans; agents connect to the same servers"),
    signingKey: z
      .strictObject({
        secret: kubernetesName
          .default("tapline-signing-key")
          .describe("Secret with the Ed25519 key that signs plans; the operator makes it when it is not there"),
        publicConfigMap: kubernetesName
          .default("tapline-plan-key")
          .describe("ConfigMap with its public half, `operator.pem`, which relays mount"),
      })
      .prefault({}),
    agents,
    drain: drain.prefault({}),
    metrics: z.strictObject(metricsKeys(9463)).prefault({}),
    profiling: profilingSection,
    log: logSection.prefault({}).meta(live),
    export: exportSection.prefault({}),
  })
  .superRefine(samePorts, whatever);

export type OperatorConfig = z.output<typeof operatorConfig>;
