// What this process may do beyond any user. Enters: /proc/self/status. Leaves: the capabilities it holds, by name, and
// those that a capture or a relay would make use of.
import { machineRoots, readLine, type Roots } from "./tune-facts.ts";

/** linux/capability.h; those that a capture, a relay, or the advice about them, turns on. */
const bits = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof bits;

export function effectiveCapabilities(status: string): Set<Capability> {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const held = (Object.keys(bits) as Capability[]).filter((name) => ((mask >> BigInt(bits[name])) & 1n) === 1n);
  const capabilities = new Set(held);
  // The kernel takes the old one for the new.
  if (capabilities.has("CAP_SYS_ADMIN")) capabilities.add("CAP_BPF").add("CAP_PERFMON");
  return capabilities;
}

interface Use {
  readonly name: Capability;
  /** without it there is no capture at all */
  readonly needed: boolean;
  readonly why: string;
}
export const captureCapabilities: readonly Use[] = [
  { name: "CAP_NET_RAW", needed: true, why: "opens the packet sockets that a capture reads from" },
  {
    name: "CAP_BPF",
    needed: false,
    why: "loads the program that spreads flows over threads; without it a simpler one does, less evenly",
  },
  { name: "CAP_IPC_LOCK", needed: false, why: "keeps the packet rings in memory, whatever RLIMIT_MEMLOCK says" },
  { name: "CAP_NET_ADMIN", needed: false, why: "changes rings and offloads (tapline tune), threaded NAPI and RPS" },
];

/** A relay in the kernel needs CAP_BPF and CAP_NET_ADMIN, one in user space CAP_NET_RAW; beside those: */
export const relayCapabilities: readonly Use[] = [
  {
    name: "CAP_PERFMON",
    needed: false,
    why: "a relay's programs look into packets at places that they compute, and see what devices drop; without it, user space carries all",
  },
];

export const heldCapabilities = ({ proc }: Pick<Roots, "proc"> = machineRoots): Set<Capability> =>
  effectiveCapabilities(readLine(`${proc}/self/status`) ?? "");
