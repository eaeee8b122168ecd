// The network interfaces of this network namespace, and what each one is made of.
// Enters: /sys/class/net. Leaves: a list; an interface that vanishes while it is read is left out.
import type { HostFiles } from "./files.ts";

export interface NetworkInterface {
  readonly name: string;
  readonly index: number;
  /** a device on a bus stands behind it: "physical", also when a hypervisor plays that device */
  readonly physical: boolean;
  /** physical, loopback, veth, bridge, vlan, bond, tun, … or virtual when the kernel does not say */
  readonly kind: string;
  readonly driver: string | null;
  /** of the device that has the queues: 0000:00:03.0 */
  readonly bus: string | null;
  /** virtio's own name of the device, which its IRQs are called by */
  readonly virtio: string | null;
  /** folder of that device in sysfs */
  readonly device: string | null;
  /** -1: the machine does not say; null: there is no device to have one */
  readonly numaNode: number | null;
  readonly queues: { readonly rx: number; readonly tx: number };
  readonly mtu: number | null;
  /** operstate: up, down, unknown, … */
  readonly state: string;
  /** null while the interface is down */
  readonly carrier: boolean | null;
  readonly speedMbps: number | null;
  /** what a VLAN, bond or bridge stands on */
  readonly lower: readonly string[];
}

/** What `ethtool -i` calls the driver of an interface without a device; sysfs does not tell a veth from others. */
export type DriverName = (name: string) => string | undefined;

export function readInterfaces(files: HostFiles, driverName: DriverName = () => undefined): NetworkInterface[] {
  const names = files.names(files.sys("class/net")) ?? [];
  return names.map((name) => readInterface(files, name, driverName)).filter((found) => found !== undefined);
}

export function readInterface(
  files: HostFiles,
  name: string,
  driverName: DriverName = () => undefined,
): NetworkInterface | undefined {
  const folder = files.sys("class/net", name);
  const index = files.number(`${folder}/ifindex`);
  if (index === null) return undefined; // gone, or bonding_masters, which is a file
  const device = files.real(`${folder}/device`);
  const owner = device === undefined ? undefined : queueOwner(files, device);
  const driver = (device === undefined ? driverName(name) : files.target(`${device}/driver`)) ?? null;
  const entries = files.names(folder) ?? [];
  const queues = files.names(`${folder}/queues`) ?? [];
  const lower = entries.filter((entry) => entry.startsWith("lower_")).map((entry) => entry.slice("lower_".length));
  const speed = files.number(`${folder}/speed`);
  const carrier = files.number(`${folder}/carrier`);
  return {
    name,
    index,
    physical: device !== undefined,
    kind: kindOf(files, folder, index, device !== undefined, entries, driver),
    driver,
    bus: owner?.split("/").at(-1) ?? null,
    virtio: device !== undefined && files.target(`${device}/subsystem`) === "virtio" ? lastPart(device) : null,
    device: owner ?? null,
    numaNode: owner === undefined ? null : (files.number(`${owner}/numa_node`) ?? -1),
    queues: {
      rx: queues.filter((queue) => queue.startsWith("rx-")).length,
      tx: queues.filter((queue) => queue.startsWith("tx-")).length,
    },
    mtu: files.number(`${folder}/mtu`),
    state: files.text(`${folder}/operstate`) ?? "unknown",
    carrier: carrier === null ? null : carrier === 1,
    speedMbps: speed !== null && speed > 0 ? speed : null, // -1: unknown
    lower: [...lower, ...(files.names(`${folder}/brif`) ?? [])].toSorted(),
  };
}

const lastPart = (path: string): string | null => path.split("/").at(-1) ?? null;

/** The device whose interrupts and NUMA node count: virtio devices and a card's parts (auxiliary) lie on a PCI function that has them. */
function queueOwner(files: HostFiles, device: string): string {
  let owner = device;
  for (let depth = 0; depth < 3; depth++) {
    const subsystem = files.target(`${owner}/subsystem`);
    if (subsystem !== "virtio" && subsystem !== "auxiliary") break;
    owner = owner.slice(0, owner.lastIndexOf("/"));
  }
  return owner;
}

/** ARPHRD_LOOPBACK */
const loopback = 772;

function kindOf(
  files: HostFiles,
  folder: string,
  index: number,
  physical: boolean,
  entries: readonly string[],
  driver: string | null,
): string {
  if (files.number(`${folder}/type`) === loopback) return "loopback";
  if (entries.includes("bonding")) return "bond";
  if (entries.includes("bridge")) return "bridge";
  if (entries.includes("tun_flags")) return "tun";
  const named = /^DEVTYPE=(\w+)$/m.exec(files.text(`${folder}/uevent`) ?? "")?.[1];
  if (named !== undefined) return named;
  if (physical) return "physical";
  if (driver !== null) return driver;
  // A veth's other end has another number, unless it lies in another namespace and happens to have the same.
  const other = files.number(`${folder}/iflink`);
  return other !== null && other !== index && !entries.some((entry) => entry.startsWith("lower_")) ? "veth" : "virtual";
}

/** The interfaces that receive for this one: itself, or what a VLAN or bond stands on, down to the last. */
export function carriers(one: NetworkInterface, all: readonly NetworkInterface[]): NetworkInterface[] {
  const found = new Map<string, NetworkInterface>();
  const seen = new Set<string>();
  const visit = (current: NetworkInterface): void => {
    if (seen.has(current.name)) return;
    seen.add(current.name);
    const lower = current.lower.flatMap((name) => all.filter((other) => other.name === name));
    if (current.physical || current.kind === "bridge" || lower.length === 0) found.set(current.name, current);
    else lower.forEach(visit);
  };
  visit(one);
  return [...found.values()];
}
