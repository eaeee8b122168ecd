// One node: containerd, kubelet and kube-proxy on a machine of its own, at their usual paths.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificates, writeKubeconfig } from "./certificates.ts";
import { insideServer } from "./control-plane.ts";
import { type Instance, nodeNames, readState } from "./instance.ts";
import { type Daemon, Machine } from "./machine.ts";
import { pauseImage } from "./images.ts";
import { dnsService, nodeAddress, podRange, podRanges } from "./wiring.ts";

const etc = ({ folder }: Instance, { name }: Machine, file: string): string =>
  join(folder, "machines", name, "etc", file);

export function startContainerd(cluster: Instance, node: Machine, number: number): Daemon {
  mkdirSync(etc(cluster, node, "cni"), { recursive: true });
  writeFileSync(etc(cluster, node, "cni/10-pods.conflist"), JSON.stringify(podNetwork(number), null, 2));
  writeFileSync(etc(cluster, node, "containerd.toml"), containerdConfig(etc(cluster, node, "cni")));
  return node.start(`${node.name}-containerd`, ["containerd", "--config", etc(cluster, node, "containerd.toml")]);
}

export function startKubelet(cluster: Instance, node: Machine, number: number, pki: Certificates): Daemon {
  writeKubeconfig(pki, node.name, insideServer, etc(cluster, node, "kubelet.kubeconfig"));
  writeFileSync(etc(cluster, node, "kubelet.json"), JSON.stringify(kubeletConfig(node.name, number, pki), null, 2));
  return node.start(`${node.name}-kubelet`, kubeletCommand(cluster, node, number));
}

/** Also to start one again that was killed: its configuration is still there. */
export const kubeletCommand = (cluster: Instance, node: Machine, number: number): string[] => [
  "kubelet",
  `--config=${etc(cluster, node, "kubelet.json")}`,
  `--kubeconfig=${etc(cluster, node, "kubelet.kubeconfig")}`,
  `--hostname-override=${node.name}`,
  `--node-ip=${nodeAddress(number)}`,
];

export function startProxy(cluster: Instance, node: Machine, pki: Certificates): Daemon {
  writeKubeconfig(pki, "proxy", insideServer, etc(cluster, node, "proxy.kubeconfig"));
  const config = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "nftables",
    clusterCIDR: podRanges,
    clientConnection: { kubeconfig: etc(cluster, node, "proxy.kubeconfig") },
    hostnameOverride: node.name,
    // Absent, they are set for the whole real machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    oomScoreAdj: 0,
  };
  writeFileSync(etc(cluster, node, "proxy.json"), JSON.stringify(config, null, 2));
  return node.start(`${node.name}-proxy`, ["kube-proxy", `--config=${etc(cluster, node, "proxy.json")}`]);
}

/** Takes an image's archive into one node. */
export async function load(node: Machine, path: string, signal: AbortSignal): Promise<void> {
  await node.run(["ctr", "--namespace", "k8s.io", "images", "import", "--local", path], { signal });
}

export async function loadEverywhere(cluster: Instance, path: string, signal: AbortSignal): Promise<void> {
  const nodes = nodeNames(readState(cluster)?.nodes ?? 1);
  await Promise.all(nodes.map((name) => load(Machine.of(cluster, name), path, signal)));
}

/** `ptp` routes between the pods of a node too, so that a service's reply passes the place that changed its address. */
const podNetwork = (number: number) => ({
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "ptp",
      ipMasq: false,
      mtu: 1500,
      ipam: {
        type: "host-local",
        dataDir: "/run/cni-addresses",
        ranges: [[{ subnet: podRange(number) }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
  ],
});

const containerdConfig = (cniFolder: string): string => `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "${pauseImage}"
[plugins."io.containerd.cri.v1.runtime"]
  # Lowering it takes CAP_SYS_RESOURCE, which is not everywhere.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "${cniFolder}"
`;

const kubeletConfig = (name: string, number: number, pki: Certificates) => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  authentication: {
    anonymous: { enabled: false },
    x509: { clientCAFile: pki.path("ca.crt") },
    webhook: { enabled: true },
  },
  authorization: { mode: "Webhook" },
  tlsCertFile: pki.path(`${name}.crt`),
  tlsPrivateKeyFile: pki.path(`${name}.key`),
  address: nodeAddress(number),
  containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
  clusterDomain: "cluster.local",
  clusterDNS: [dnsService],
  resolvConf: "",
  // Lets it go on where it may not change what belongs to the whole real machine.
  featureGates: { KubeletInUserNamespace: true },
  cgroupDriver: "cgroupfs",
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  localStorageCapacityIsolation: false,
  oomScoreAdj: 0,
  maxPods: 60,
  // Disk and memory are the real machine's, and filling them is not the cluster's doing: 0% is never.
  evictionHard: Object.fromEntries(
    ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"].map((what) => [what, "0%"]),
  ),
  imageGCHighThresholdPercent: 100,
  imageGCLowThresholdPercent: 99,
  // A quarter of it is how often the node says that it lives: every 4 s, see the controller manager's grace.
  nodeLeaseDurationSeconds: 16,
});
