// Which CPU is for what: capture threads, their rings' memory, the interrupts of the NIC's queues. Pure: nothing is read or changed here.
// Enters: topology, interfaces with their interrupts, the policy. Leaves: a plan for each interface, each part of it either a wish with its
// reason, or the words why it does not apply.
import { cpuListText, difference, intersection } from "./cpu-list.ts";
import { carriers, type NetworkInterface } from "./interfaces.ts";
import type { QueueIrq } from "./irqs.ts";
import { nearestNodes, nodeOf, type NumaNode, type Topology } from "./topology.ts";

export interface PinningPolicy {
  readonly policy: "None" | "NicLocal" | "Explicit";
  /** for Explicit, in the order in which they are to be used */
  readonly cpus: readonly number[];
  readonly irq: "Observe" | "Manage";
}

export interface Port {
  readonly nic: NetworkInterface;
  /** capture threads */
  readonly threads: number;
}

export interface PlanInput {
  readonly topology: Topology;
  readonly policy: PinningPolicy;
  readonly ports: readonly Port[];
  readonly all: readonly NetworkInterface[];
  readonly irqs: (nic: NetworkInterface) => readonly QueueIrq[];
  /** virtual interfaces that receive by NAPI: a veth does when XDP or GRO is on */
  readonly napi: (nic: NetworkInterface) => boolean;
}

export type Planned<T> = { readonly desired: T; readonly reason: string } | { readonly notApplicable: string };

export interface IrqWish {
  readonly interface: string;
  readonly irq: number;
  readonly name: string;
  readonly cpu: number;
}
export interface RpsWish {
  readonly interface: string;
  readonly index: number;
  readonly queue: string;
  readonly cpus: readonly number[];
}
export interface ThreadedWish {
  readonly interface: string;
  readonly index: number;
  /** for the kernel's NAPI threads */
  readonly cpus: readonly number[];
}

export interface InterfacePlan {
  readonly interface: string;
  /** of the NIC; null when it has none or does not say */
  readonly node: number | null;
  /** one CPU for each capture thread */
  readonly threads: Planned<readonly number[]>;
  readonly memory: Planned<number>;
  readonly irqs: Planned<readonly IrqWish[]>;
  readonly rps: Planned<readonly RpsWish[]>;
  readonly threaded: Planned<readonly ThreadedWish[]>;
  /** what the person who configured this should know */
  readonly warnings: readonly string[];
}

/** CPUs that an interface may use, the best first, and how they were found. */
interface Candidates {
  readonly cpus: readonly number[];
  readonly node: NumaNode | undefined;
  readonly reason: string;
  readonly warnings: readonly string[];
}

const cpuWords = (cpus: readonly number[]): string => `${cpus.length === 1 ? "CPU" : "CPUs"} ${cpuListText(cpus)}`;

function explicit({ topology, policy }: PlanInput, nic: NetworkInterface): Candidates {
  const usable = policy.cpus.filter((cpu) => topology.allowed.includes(cpu));
  const offline = difference(policy.cpus, topology.online);
  const refused = difference(intersection(policy.cpus, topology.online), topology.allowed);
  const far = usable.filter(
    (cpu) => nic.numaNode !== null && nic.numaNode >= 0 && nodeOf(topology, cpu)?.id !== nic.numaNode,
  );
  const node = usable[0] === undefined ? undefined : nodeOf(topology, usable[0]);
  return {
    cpus: usable,
    node,
    reason: "pinning.cpus names them",
    warnings: [
      ...(offline.length > 0 ? [`${cpuWords(offline)} of pinning.cpus: not online`] : []),
      ...(refused.length > 0
        ? [`${cpuWords(refused)} of pinning.cpus: not allowed to this process (its affinity or its cgroup's cpuset)`]
        : []),
      ...(far.length > 0 ? [`${cpuWords(far)} of pinning.cpus: not on the NIC's node ${nic.numaNode}`] : []),
    ],
  };
}

function local(input: PlanInput, nic: NetworkInterface, load: Load): Candidates {
  const { topology } = input;
  // CPUs that were isolated are kept for somebody: taken only when pinning.cpus names them.
  const kept = topology.isolated.length + topology.tickless.length;
  const free = difference(difference(topology.allowed, topology.isolated), topology.tickless);
  const usable = free.length > 0 ? free : topology.allowed;
  const on = (node: NumaNode): number[] => intersection(node.cpus, usable);
  const withCpus = topology.nodes.filter((node) => on(node).length > 0);
  const warnings =
    free.length === 0 && kept > 0 ? ["all CPUs allowed to this process are isolated; they are used"] : [];
  if (topology.nodes.length === 1) {
    return { cpus: usable, node: topology.nodes[0], reason: "this machine has one NUMA node", warnings };
  }
  if (nic.numaNode === null || nic.numaNode < 0) {
    // All its memory and CPUs on one node at least, the one with the most room.
    const node = withCpus.toSorted(
      (a, b) => load.of(on(a)) / on(a).length - load.of(on(b)) / on(b).length || a.id - b.id,
    )[0];
    const why = nic.physical ? `${nic.name} does not say its NUMA node` : `${nic.name} is virtual and has no NUMA node`;
    return {
      cpus: node === undefined ? [] : on(node),
      node,
      reason: `${why}; node ${node?.id} has the most room`,
      warnings,
    };
  }
  const node = nearestNodes(topology, nic.numaNode).find((near) => on(near).length > 0);
  const own = node?.id === nic.numaNode;
  return {
    cpus: node === undefined ? [] : on(node),
    node,
    reason: own
      ? `${nic.name} is on NUMA node ${node.id}`
      : `node ${node?.id} is the nearest with CPUs for this process`,
    warnings: own
      ? warnings
      : [...warnings, `${nic.name} is on NUMA node ${nic.numaNode}, which has no CPU that this process may use`],
  };
}

/** How much each CPU was given so far, over all interfaces, so that several share fairly. */
class Load {
  readonly threads = new Map<number, number>();
  readonly irqs = new Map<number, number>();
  readonly #topology: Topology;

  constructor(topology: Topology) {
    this.#topology = topology;
  }

  of(cpus: readonly number[]): number {
    return cpus.reduce((sum, cpu) => sum + (this.threads.get(cpu) ?? 0), 0);
  }

  #core(cpu: number): number {
    return this.of(this.#topology.siblings.get(cpu) ?? [cpu]);
  }

  /** One per physical core first; CPU 0, where the kernel does its own housekeeping, last; in the configured order when there is one. */
  takeForThread(cpus: readonly number[], ordered: boolean): number {
    const rank = (cpu: number): number[] =>
      ordered ? [this.of([cpu])] : [this.of([cpu]), cpu === 0 ? 1 : 0, this.#core(cpu)];
    return take(cpus, rank, this.threads);
  }

  /** An interrupt's work competes with a thread on its CPU, and less on its core: free cores first, then all alike. */
  takeForIrq(cpus: readonly number[]): number {
    const rank = (cpu: number): number[] => [
      this.irqs.get(cpu) ?? 0,
      this.of([cpu]),
      this.#core(cpu),
      cpu === 0 ? 1 : 0,
    ];
    return take(cpus, rank, this.irqs);
  }
}

function take(cpus: readonly number[], rank: (cpu: number) => number[], load: Map<number, number>): number {
  const ranked = cpus.map((cpu) => ({ cpu, rank: rank(cpu) }));
  const best = ranked.reduce((a, b) => (lower(b.rank, a.rank) ? b : a));
  load.set(best.cpu, (load.get(best.cpu) ?? 0) + 1);
  return best.cpu;
}

const lower = (a: readonly number[], b: readonly number[]): boolean => {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i >= 0 && (a[i] as number) < (b[i] as number);
};

export function plan(input: PlanInput): InterfacePlan[] {
  const load = new Load(input.topology);
  if (input.policy.policy === "None") return input.ports.map(({ nic }) => unpinned(nic));
  const wanted = input.ports.map((port) => {
    const under = carriers(port.nic, input.all);
    // A VLAN or bond has no node of its own: the NIC that carries it has.
    const nic = port.nic.physical ? port.nic : (under.find((one) => one.physical) ?? port.nic);
    return { ...port, under, carrier: nic, cpus: [] as number[] };
  });
  const candidates = new Map<string, Candidates>();
  // A round gives each interface one CPU, so that the last configured is not the one that goes without.
  const rounds = Math.max(0, ...wanted.map(({ threads }) => threads));
  for (let round = 0; round < rounds; round++)
    for (const one of wanted) {
      if (round >= one.threads) continue;
      const found = candidates.get(one.nic.name) ?? find(input, one.carrier, load);
      candidates.set(one.nic.name, found);
      if (found.cpus.length > 0) one.cpus.push(load.takeForThread(found.cpus, input.policy.policy === "Explicit"));
    }
  const given = new Set<string>(); // two ports on one NIC (a VLAN and what it stands on) share its interrupts
  return wanted.map((one): InterfacePlan => {
    const found = candidates.get(one.nic.name) ?? find(input, one.carrier, load);
    const node = one.carrier.numaNode;
    const fresh = one.under.filter(({ name }) => !given.has(name));
    for (const { name } of fresh) given.add(name);
    const context = { input, load, found, threads: one.threads, nic: one.nic, under: fresh, all: one.under };
    return {
      interface: one.nic.name,
      node: node === null || node < 0 ? null : node,
      threads:
        found.cpus.length === 0
          ? { notApplicable: "no CPU that it may use is online and allowed to this process" }
          : { desired: one.cpus, reason: found.reason },
      memory: memory(input.topology, found),
      irqs: irqs(context),
      rps: rps(context),
      threaded: threaded(context),
      warnings: found.warnings,
    };
  });
}

const find = (input: PlanInput, nic: NetworkInterface, load: Load): Candidates =>
  input.policy.policy === "Explicit" ? explicit(input, nic) : local(input, nic, load);

function unpinned(nic: NetworkInterface): InterfacePlan {
  const no = { notApplicable: "pinning.policy is None" };
  const node = nic.numaNode === null || nic.numaNode < 0 ? null : nic.numaNode;
  return { interface: nic.name, node, threads: no, memory: no, irqs: no, rps: no, threaded: no, warnings: [] };
}

function memory(topology: Topology, { node, cpus }: Candidates): Planned<number> {
  if (topology.nodes.length === 1)
    return { notApplicable: "this machine has one NUMA node: all memory is equally near" };
  if (node === undefined || cpus.length === 0) return { notApplicable: "there is no CPU for it to be near to" };
  if (!topology.allowedMemory.includes(node.id))
    return { notApplicable: `this process may have no memory on node ${node.id} (its cgroup's cpuset.mems)` };
  return { desired: node.id, reason: "the ring's memory lies where the threads that read it run" };
}

interface Context {
  readonly input: PlanInput;
  readonly load: Load;
  readonly found: Candidates;
  readonly threads: number;
  readonly nic: NetworkInterface;
  /** what receives for it and was not yet planned for another port */
  readonly under: readonly NetworkInterface[];
  readonly all: readonly NetworkInterface[];
}

const names = (nics: readonly NetworkInterface[]): string => nics.map(({ name }) => name).join(", ");
const noCpus = { notApplicable: "there is no CPU for it" };

function irqs({ input, load, found, nic, under, all }: Context): Planned<readonly IrqWish[]> {
  const real = all.filter((one) => one.physical);
  if (real.length === 0) return { notApplicable: `${nic.name} is virtual: no queue of it has an interrupt` };
  if (found.cpus.length === 0) return noCpus;
  const fresh = under.filter((one) => one.physical);
  if (fresh.length === 0) return { notApplicable: `planned with another interface that ${names(real)} carries` };
  const desired = fresh.flatMap((one): IrqWish[] => {
    // A queue's two directions (virtio has an interrupt for each) are one packet's way: they share a CPU.
    const byQueue = new Map<number, number>();
    return input.irqs(one).map((irq) => {
      const cpu = byQueue.get(irq.queue) ?? load.takeForIrq(found.cpus);
      byQueue.set(irq.queue, cpu);
      return { interface: one.name, irq: irq.irq, name: irq.name, cpu };
    });
  });
  if (desired.length === 0)
    return { notApplicable: `${names(fresh)} shows no interrupts of queues (down, or its driver names none)` };
  const on = one(fresh) ? "" : ` (of ${names(fresh)}, which carry ${nic.name})`;
  return { desired, reason: `one CPU a queue${on}; ${found.reason}` };
}

const one = (list: readonly unknown[]): boolean => list.length === 1;

/** Interfaces whose receiving work can be moved only by RPS or by NAPI's threads. */
function virtual({ nic, under, all }: Context): readonly NetworkInterface[] | string {
  if (nic.kind === "loopback") return "loopback's packets are received where they are sent";
  if (nic.kind === "bridge")
    return `${nic.name} is a bridge: its ports receive (${nic.lower.join(", ") || "none now"})`;
  if (all.every((each) => each.physical)) return "its packets are spread by the NIC's queues and their interrupts";
  const found = under.filter((each) => !each.physical && each.kind !== "bridge");
  return found.length > 0 ? found : "planned with another interface";
}

function rps(context: Context): Planned<readonly RpsWish[]> {
  const { input, load, found, threads } = context;
  const nics = virtual(context);
  if (typeof nics === "string") return { notApplicable: nics };
  if (found.cpus.length === 0) return noCpus;
  const without = nics.filter((nic) => !input.napi(nic));
  if (without.length === 0) return { notApplicable: "it receives by NAPI, which threads of its own can carry" };
  // As many CPUs as threads: receiving a packet costs about what capturing it does.
  const cpus = Array.from({ length: Math.max(1, Math.min(threads, found.cpus.length)) }, () =>
    load.takeForIrq(found.cpus),
  );
  const desired = without.flatMap((nic) =>
    Array.from({ length: nic.queues.rx }, (_, i) => ({
      interface: nic.name,
      index: nic.index,
      queue: `rx-${i}`,
      cpus: [...new Set(cpus)].toSorted((a, b) => a - b),
    })),
  );
  return { desired, reason: `${names(without)} receives on its sender's CPU; RPS moves that work` };
}

function threaded(context: Context): Planned<readonly ThreadedWish[]> {
  const { input, load, found, threads } = context;
  const nics = virtual(context);
  if (typeof nics === "string") return { notApplicable: nics };
  if (found.cpus.length === 0) return noCpus;
  const withNapi = nics.filter((nic) => input.napi(nic));
  if (withNapi.length === 0)
    return { notApplicable: `${names(nics)} has no NAPI to run in a thread (a veth has with XDP or GRO); RPS does it` };
  const count = Math.max(1, Math.min(threads, found.cpus.length));
  const desired = withNapi.map((nic) => ({
    interface: nic.name,
    index: nic.index,
    cpus: [...new Set(Array.from({ length: count }, () => load.takeForIrq(found.cpus)))].toSorted((a, b) => a - b),
  }));
  return {
    desired,
    reason: `${names(withNapi)} receives by NAPI on its sender's CPU; threads of its own move that work`,
  };
}
