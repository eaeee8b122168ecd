// What a plan for an interface rests on. Enters: its name, and where /sys and /proc are. Leaves: its settings, the device
// behind it, its interrupts, and what would notice if its link went away for a moment.
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname } from "node:path";
import type { Ethtool } from "#native/engine.ts";
import { readEthtool, supported } from "./ethtool.ts";

export interface Roots {
  readonly sys: string;
  readonly proc: string;
}
export const machineRoots: Roots = { sys: "/sys", proc: "/proc" };

export interface TuneFacts {
  readonly interface: string;
  readonly ethtool: Ethtool;
  /** made of software: no device behind it */
  readonly virtual: boolean;
  /** of a virtio device: it lets interrupts be moderated */
  readonly virtioModeration: boolean;
  /** the NUMA nodes of this machine */
  readonly nodes: readonly number[];
  /** the device's node; undefined when the machine does not say */
  readonly node: number | undefined;
  /** of that node, as the kernel writes a list: 0-15,32-47 */
  readonly nodeCpus: string | undefined;
  readonly irqs: readonly { readonly irq: number; readonly cpus: string }[];
  readonly defaultRoute: boolean;
  readonly addresses: readonly string[];
}

/** Undefined when there is no such file, or the kernel has nothing to say in it. */
export function readLine(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EINVAL" || code === "EACCES") return undefined;
    throw error;
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** 0-3,8 → 0 1 2 3 8 */
export function cpusOf(list: string): Set<number> {
  const cpus = new Set<number>();
  for (const range of list.split(",").filter((text) => text !== "")) {
    const [from = NaN, to = from] = range.split("-").map(Number);
    for (let cpu = from; cpu <= to && cpu < 65_536; cpu++) cpus.add(cpu);
  }
  return cpus;
}

/** The device, and the one it sits on: virtio puts a device of its own between the interface and PCI. */
function devices(roots: Roots, name: string): string[] {
  const link = `${roots.sys}/class/net/${name}/device`;
  if (entries(link).length === 0) return [];
  const device = realpathSync(link);
  return [device, dirname(device)];
}

/** RTF_REJECT: the kernel keeps one to everywhere on lo, for what has no other. */
const leadsNowhere = (flags: number): boolean => (flags & 0x200) !== 0;

function carriesDefaultRoute(proc: string, name: string): boolean {
  const rows = (path: string): string[][] => (readLine(path) ?? "").split("\n").map((line) => line.trim().split(/\s+/));
  return (
    rows(`${proc}/net/route`).some((row) => row[0] === name && row[1] === "00000000" && row[7] === "00000000") ||
    rows(`${proc}/net/ipv6_route`).some(
      (row) =>
        row[9] === name && /^0{32}$/.test(row[0] ?? "") && row[1] === "00" && !leadsNowhere(Number(`0x${row[8]}`)),
    )
  );
}

const virtioCanModerate = (features: string | undefined): boolean =>
  features !== undefined && (features[52] === "1" || features[53] === "1"); // VIRTIO_NET_F_VQ_NOTF_COAL, …_NOTF_COAL

export function tuneFacts(name: string, roots: Roots = machineRoots): TuneFacts {
  const ethtool = readEthtool(name);
  const behind = devices(roots, name);
  const nodeText = behind.map((path) => readLine(`${path}/numa_node`)).find((text) => text !== undefined);
  const node = nodeText === undefined || Number(nodeText) < 0 ? undefined : Number(nodeText);
  const irqs = behind
    .map((path) => entries(`${path}/msi_irqs`))
    .find((found) => found.length > 0)
    ?.map(Number)
    .toSorted((a, b) => a - b);
  return {
    interface: name,
    ethtool,
    virtual: behind.length === 0,
    virtioModeration:
      supported(ethtool.driver)?.name !== "virtio_net" || virtioCanModerate(readLine(`${behind[0]}/features`)),
    nodes: [...cpusOf(readLine(`${roots.sys}/devices/system/node/online`) ?? "0")],
    node,
    nodeCpus: node === undefined ? undefined : readLine(`${roots.sys}/devices/system/node/node${node}/cpulist`),
    irqs: (irqs ?? []).flatMap((irq) => {
      const cpus = readLine(`${roots.proc}/irq/${irq}/smp_affinity_list`);
      return cpus === undefined ? [] : [{ irq, cpus }];
    }),
    defaultRoute: carriesDefaultRoute(roots.proc, name),
    addresses: (networkInterfaces()[name] ?? []).map(({ address }) => address).filter((text) => !/^fe80:/i.test(text)),
  };
}
