// What this process may do beyond any user. Enters: /proc/self/status. Leaves: the capabilities it holds, by name, and
// those that a capture would make use of and lacks.
import { machineRoots, readLine, type Roots } from "./tune-facts.ts";

/** linux/capability.h; those that a capture, or the advice about it, turns on. */
const bits = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof bits;

export function effectiveCapabilities(status: string): Set<Capability> {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const held = (Object.keys(bits) as Capability[]).filter((name) => ((mask >> BigInt(bits[name])) & 1n) === 1n);
  const capabilities = new Set(held);
  if (capabilities.has("CAP_SYS_ADMIN")) capabilities.add("CAP_BPF"); // the kernel takes the old one for the new
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

export const heldCapabilities = ({ proc }: Pick<Roots, "proc"> = machineRoots): Set<Capability> =>
  effectiveCapabilities(readLine(`${proc}/self/status`) ?? "");
