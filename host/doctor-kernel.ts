// The part of the examination that concerns the kernel: what it lets this process do, and its limits.
import { existsSync } from "node:fs";
import type { HostProbe, Probe } from "#native/engine.ts";
import { captureCapabilities, heldCapabilities, relayCapabilities } from "./capabilities.ts";
import { check, type Check } from "./check.ts";
import { readLine, type Roots } from "./tune-facts.ts";

export function capabilityChecks({ proc }: Roots, probe: HostProbe, program: string): Check[] {
  const held = heldCapabilities({ proc });
  // All at once: setcap replaces what a program had.
  const uses = [...captureCapabilities, ...relayCapabilities];
  const all = uses.map(({ name }) => name.toLowerCase()).join(",");
  const remedy = `run as root, or: sudo setcap ${all}+ep ${program}`;
  return uses.map(({ name, needed, why }) => {
    const lockedAnyway = name === "CAP_IPC_LOCK" && !held.has(name) && probe.capture.ringLocked.outcome === "works";
    const found = held.has(name) ? "held" : lockedAnyway ? "not held, but 16 MiB could be locked" : "not held";
    return check(name, held.has(name) || lockedAnyway, found, why, remedy, needed ? "missing" : "warning");
  });
}

export const atLeast = (release: string, major: number, minor: number): boolean => {
  const [a = 0, b = 0] = release.split(".").map(Number.parseFloat);
  return a > major || (a === major && b >= minor);
};

export function tried(
  name: string,
  { outcome, detail }: Probe,
  why: string,
  remedy: string,
  otherwise: "warning" | "missing",
): Check {
  if (outcome === "unknown") return { name, verdict: "not applicable", found: `not tried: ${detail}`, why };
  return check(name, outcome === "works", outcome === "works" ? "works" : detail, why, remedy, otherwise);
}

export function kernelChecks({ proc, sys }: Roots, { capture }: HostProbe): Check[] {
  const release = readLine(`${proc}/sys/kernel/osrelease`) ?? "unknown";
  const btf = existsSync(`${sys}/kernel/btf/vmlinux`);
  const built = "boot a kernel built with CONFIG_PACKET=y; where memory is short, free some";
  const newer = "boot a kernel of 6.2 or later";
  const privileges = "see the capabilities above; in a container, its seccomp profile may forbid it";
  return [
    check(
      "kernel",
      atLeast(release, 6, 2),
      release,
      "from 6.2 on, a group of rings leaves out what this node itself sends",
      newer,
    ),
    tried("packet socket", capture.packetSocket, "every frame comes through one", privileges, "missing"),
    tried("packet ring", capture.packetRing, "TPACKET_V3: frames in shared memory, 16 MiB tried", built, "missing"),
    tried("fanout", capture.fanout, "several threads share an interface's frames", built, "missing"),
    tried(
      "own frames left out",
      capture.ignoreOutgoing,
      "what this node sends would be counted like what arrives",
      newer,
      "warning",
    ),
    tried(
      "locked ring",
      capture.ringLocked,
      "memory that is swapped out costs frames; 16 MiB tried",
      "grant CAP_IPC_LOCK, or raise the limit: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)",
      "warning",
    ),
    tried("fanout program", capture.fanoutProgram, "keeps each flow on one thread, MACsec too", privileges, "warning"),
    check(
      "BTF",
      btf,
      btf ? "there" : "not there",
      "BPF programs that look into the kernel's own structures need it; the capture's does not",
      "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
    ),
  ];
}

interface Limit {
  readonly name: string;
  readonly unit: string;
  readonly least: number;
  readonly why: string;
  readonly advised: number;
}
const limits: readonly Limit[] = [
  {
    name: "net.core.rmem_max",
    unit: "bytes",
    least: 4 << 20,
    advised: 25 << 20,
    why: "receive buffers of UDP and netlink sockets are cut to it; packet rings are not",
  },
  {
    name: "net.core.netdev_max_backlog",
    unit: "frames",
    least: 4096,
    advised: 10_000,
    why: "frames of veth pairs, RPS and loopback wait in a queue of this length, and are lost beyond it",
  },
  {
    name: "net.ipv4.igmp_max_memberships",
    unit: "groups a socket",
    least: 128,
    advised: 1024,
    why: "a socket can join this many multicast groups; the next join fails",
  },
  {
    name: "net.ipv4.igmp_max_msf",
    unit: "sources a group",
    least: 10,
    advised: 64,
    why: "a socket can ask for this many sources of a group; a relay's join-holder counts on ten",
  },
  {
    name: "net.core.wmem_max",
    unit: "bytes",
    least: 8 << 20,
    advised: 16 << 20,
    why: "without CAP_NET_ADMIN the buffer of each output of a relay in user space is cut to it, and full the sooner",
  },
];

/** From /proc/self/limits: the soft limit in bytes. */
function lockedMemory(proc: string): number {
  const text = /^Max locked memory\s+(\S+)/m.exec(readLine(`${proc}/self/limits`) ?? "")?.[1];
  return text === "unlimited" ? Infinity : Number(text ?? 0);
}

const mebibytes = (bytes: number): string => (bytes === Infinity ? "unlimited" : `${Math.floor(bytes / 2 ** 20)} MiB`);

export function limitChecks({ proc }: Roots): Check[] {
  const locked = lockedMemory(proc);
  const exempt = heldCapabilities({ proc }).has("CAP_IPC_LOCK");
  return [
    check(
      "RLIMIT_MEMLOCK",
      exempt || locked >= 64 << 20,
      exempt ? `${mebibytes(locked)}, which CAP_IPC_LOCK overrides` : mebibytes(locked),
      "rings of more than this cannot be kept in memory",
      "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)",
    ),
    ...limits.map(({ name, unit, least, advised, why }): Check => {
      const text = readLine(`${proc}/sys/${name.replaceAll(".", "/")}`);
      if (text === undefined) {
        // Some belong to the host alone, and other network namespaces do not have them.
        return { name, verdict: "not applicable", found: "not to be seen from this network namespace", why };
      }
      return check(name, Number(text) >= least, `${text} ${unit}`, why, `sudo sysctl -w ${name}=${advised}`);
    }),
  ];
}
