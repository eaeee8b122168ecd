// The control machine: etcd, apiserver, controller manager, scheduler and CoreDNS, and the door through which they are reached from outside.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificates, writeKubeconfig } from "./certificates.ts";
import type { Instance } from "./instance.ts";
import type { Daemon, Machine } from "./machine.ts";
import { controlAddress, dnsService, podRange, podRanges, serviceRange } from "./wiring.ts";

const etc = ({ folder }: Instance, file: string): string => join(folder, "machines", "control", "etc", file);
export const insideServer = `https://${controlAddress}:6443`;

/** Nothing of a cluster that lives for minutes needs to survive a power failure. */
export const startEtcd = (control: Machine): Daemon =>
  control.start("etcd", [
    "etcd",
    "--data-dir=/var/lib/etcd",
    "--unsafe-no-fsync",
    "--listen-client-urls=http://127.0.0.1:2379",
    "--advertise-client-urls=http://127.0.0.1:2379",
    "--listen-peer-urls=http://127.0.0.1:2380",
  ]);

export const startApiserver = (control: Machine, pki: Certificates): Daemon =>
  control.start("kube-apiserver", [
    "kube-apiserver",
    "--etcd-servers=http://127.0.0.1:2379",
    "--bind-address=0.0.0.0",
    "--secure-port=6443",
    `--advertise-address=${controlAddress}`,
    `--tls-cert-file=${pki.path("apiserver.crt")}`,
    `--tls-private-key-file=${pki.path("apiserver.key")}`,
    `--client-ca-file=${pki.path("ca.crt")}`,
    `--service-account-key-file=${pki.path("service-accounts.pub")}`,
    `--service-account-signing-key-file=${pki.path("service-accounts.key")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-cluster-ip-range=${serviceRange}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    `--kubelet-certificate-authority=${pki.path("ca.crt")}`,
    `--kubelet-client-certificate=${pki.path("admin.crt")}`,
    `--kubelet-client-key=${pki.path("admin.key")}`,
    "--kubelet-preferred-address-types=InternalIP",
    "--allow-privileged=true",
  ]);

/** Listens on the real machine's 127.0.0.1 and speaks from within: a listening socket keeps the network it was made in. */
export function openDoor(control: Machine, port: number): Daemon {
  const listen = ["systemd-socket-activate", "-l", `127.0.0.1:${port}`];
  const inside = ["nsenter", `--net=/proc/${control.pid}/ns/net`];
  const pass = ["/lib/systemd/systemd-socket-proxyd", "--connections-max=1000", "127.0.0.1:6443"];
  return control.start("door", [...listen, ...inside, ...pass], "cgroup");
}

/** Once the apiserver answers. */
export function startControllers(cluster: Instance, control: Machine, pki: Certificates): Daemon[] {
  const config = (user: string): string => {
    const path = etc(cluster, `${user}.kubeconfig`);
    writeKubeconfig(pki, user, insideServer, path);
    return path;
  };
  writeFileSync(etc(cluster, "Corefile"), corefile(config("dns")));
  return [
    control.start("kube-controller-manager", [
      "kube-controller-manager",
      `--kubeconfig=${config("controllers")}`,
      `--service-account-private-key-file=${pki.path("service-accounts.key")}`,
      `--root-ca-file=${pki.path("ca.crt")}`,
      `--cluster-signing-cert-file=${pki.path("ca.crt")}`,
      `--cluster-signing-key-file=${pki.path("ca.key")}`,
      "--use-service-account-credentials=true",
      "--leader-elect=false",
      `--cluster-cidr=${podRanges}`,
      // A node that is cut off is to be noticed while a test waits: 16 s instead of 50 s.
      "--node-monitor-period=2s",
      "--node-monitor-grace-period=16s",
    ]),
    control.start("kube-scheduler", ["kube-scheduler", `--kubeconfig=${config("scheduler")}`, "--leader-elect=false"]),
    control.start("coredns", ["coredns", "-conf", etc(cluster, "Corefile")]),
  ];
}

const corefile = (kubeconfig: string): string => `.:53 {
  bind ${controlAddress}
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${kubeconfig}
    pods insecure
  }
}
`;

/** What every cluster has from its first second: nodes that know their pods' range, and names. */
export function firstObjects(cluster: Instance, nodes: number): string {
  const items = [
    ...Array.from({ length: nodes }, (_, index) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: `node${index + 1}`, labels: { "kubernetes.io/hostname": `node${index + 1}` } },
      spec: { podCIDR: podRange(index + 1), podCIDRs: [podRange(index + 1)] },
    })),
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "coredns" },
      rules: [
        { apiGroups: [""], resources: ["services", "pods", "namespaces"], verbs: ["list", "watch"] },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "coredns" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "coredns" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "coredns" }],
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: "kube-system" },
      spec: {
        clusterIP: dnsService,
        ports: [
          { name: "dns", port: 53, protocol: "UDP" },
          { name: "dns-tcp", port: 53, protocol: "TCP" },
        ],
      },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "kube-dns-1",
        namespace: "kube-system",
        labels: { "kubernetes.io/service-name": "kube-dns" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [controlAddress], conditions: { ready: true } }],
      ports: [
        { name: "dns", port: 53, protocol: "UDP" },
        { name: "dns-tcp", port: 53, protocol: "TCP" },
      ],
    },
  ];
  const path = join(cluster.folder, "first-objects.json");
  mkdirSync(cluster.folder, { recursive: true });
  writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2));
  return path;
}
