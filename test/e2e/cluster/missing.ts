// What a machine may lack: looked for before anything is made. The first thing that is missing is told, with its remedy.
import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { hierarchies } from "./cgroups.ts";
import { run } from "./command.ts";
import { cacheFolder, type Instance } from "./instance.ts";
import { ClusterProblem } from "./problems.ts";

/** program, Debian's package, what for; `/…` is a file */
const programs = [
  ["ip", "iproute2", "namespaces' links and addresses"],
  ["nsenter", "util-linux", "namespaces"],
  ["unshare", "util-linux", "namespaces"],
  ["sysctl", "procps", "the nodes' forwarding"],
  ["nft", "nftables", "kube-proxy writes its rules with it"],
  ["runc", "runc", "containers"],
  ["/usr/lib/cni/ptp", "containernetworking-plugins", "the pods' network"],
  ["openssl", "openssl", "certificates"],
  ["systemd-socket-activate", "systemd", "the way in from outside"],
  ["/lib/systemd/systemd-socket-proxyd", "systemd", "the way in from outside"],
  ["buildah", "buildah", "images"],
  ["debootstrap", "debootstrap", "the base of images"],
  ["gcc", "gcc", "the pause program"],
] as const;

/** What a kernel must allow: tried once, in namespaces that end at once. */
const features = [
  { feature: "network namespaces", need: "CONFIG_NET_NS", probe: "true", namespaces: ["--net"] },
  {
    feature: "mount, host name and cgroup namespaces",
    need: "CONFIG_NAMESPACES, CONFIG_CGROUPS",
    probe: "true",
    namespaces: ["--mount", "--uts", "--cgroup"],
  },
  {
    feature: "veth pairs",
    need: "CONFIG_VETH",
    probe: "ip link add end0 type veth peer name end1",
    namespaces: ["--net"],
  },
  { feature: "bridges", need: "CONFIG_BRIDGE", probe: "ip link add bridge0 type bridge", namespaces: ["--net"] },
  {
    feature: "nf_tables with NAT",
    need: "CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ",
    probe: "nft 'table ip t { chain c { type nat hook postrouting priority 0; masquerade; }; }'",
    namespaces: ["--net"],
  },
  {
    feature: "overlayfs",
    need: "CONFIG_OVERLAY_FS",
    probe:
      'd=$(mktemp -d) && mount -t tmpfs t "$d" && mkdir "$d/l" "$d/u" "$d/w" "$d/m"; mount -t overlay o -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w" "$d/m" && s=0 || s=1; umount -R "$d"; rmdir "$d"; exit $s',
    namespaces: ["--mount"],
  },
  {
    feature: "a BPF file system",
    need: "CONFIG_BPF_SYSCALL",
    probe: "mount -t bpf bpf /sys/fs/bpf",
    namespaces: ["--mount"],
  },
  {
    feature: "a sysfs of its own",
    need: "CONFIG_SYSFS",
    probe: "mount -t sysfs sysfs /sys",
    namespaces: ["--mount", "--net"],
  },
] as const;

/** Seen: 0.9 GiB with three nodes; a third of it is the control plane. Beside it there must be room for pods. */
const neededMiB = (nodes: number): number => 600 + 300 * nodes;
const neededDiskMiB = 3000;

/** Below these every node has its own. */
const hidden = ["/run", "/var/run", "/sys", "/proc", "/var/lib", "/var/log"];

export async function refuseWhatIsMissing(cluster: Instance, nodes: number, signal: AbortSignal): Promise<void> {
  if (process.geteuid?.() !== 0) throw new ClusterProblem("NOT_ROOT");
  for (const path of [cluster.folder, cacheFolder()]) {
    const below = hidden.find((prefix) => path.startsWith(`${prefix}/`));
    if (below !== undefined) throw new ClusterProblem("FOLDER_HIDDEN", { path, hidden: below });
    const { bavail, bsize } = statfsSync(existing(path));
    const available = Math.floor((bavail * bsize) / 2 ** 20);
    if (available < neededDiskMiB) throw new ClusterProblem("DISK_SHORT", { path, available, needed: neededDiskMiB });
  }
  for (const [program, name, need] of programs)
    if (!installed(program)) throw new ClusterProblem("PROGRAM_MISSING", { program, package: name, need });
  const available = Math.floor(
    Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) / 1024,
  );
  if (available < neededMiB(nodes))
    throw new ClusterProblem("MEMORY_SHORT", { available, nodes, needed: neededMiB(nodes) });
  refuseWithoutCgroups();
  for (const { feature, need, probe, namespaces } of features) {
    try {
      await run("unshare", [...namespaces, "--", "sh", "-c", probe], { signal });
    } catch (error) {
      if (!(error instanceof ClusterProblem)) throw error;
      throw new ClusterProblem("KERNEL_LACKS", { feature, need, detail: error.message.split("\n").slice(1).join(" ") });
    }
  }
}

function refuseWithoutCgroups(): void {
  const mounted = hierarchies();
  const lacks = (detail: string): ClusterProblem =>
    new ClusterProblem("KERNEL_LACKS", {
      feature: "cgroups",
      need: "cgroup v2, or v1 with its controllers, writable",
      detail,
    });
  if (mounted.length === 0) throw lacks("none is mounted");
  for (const { mount } of mounted)
    try {
      accessSync(mount, constants.W_OK);
    } catch {
      throw lacks(`${mount} is read-only`);
    }
  const controllers = mounted.flatMap(({ mount, options }) =>
    options === "" ? readFileSync(join(mount, "cgroup.controllers"), "utf8").trim().split(" ") : options.split(","),
  );
  for (const controller of ["cpu", "cpuset", "memory", "pids"])
    if (!controllers.includes(controller)) throw lacks(`the controller ${controller} is not there`);
}

const existing = (path: string): string => (existsSync(path) ? path : existing(dirname(path)));

const installed = (program: string): boolean =>
  program.startsWith("/")
    ? existsSync(program)
    : [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"].some((folder) =>
        existsSync(join(folder, program)),
      );

/** A port that nobody listens on: the named one, or any. */
export function freePort(named = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new ClusterProblem("PORT_TAKEN", { port: named }) : error),
    );
    server.listen(named, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
