// The part of the examination that concerns a relay. Nothing here is missing for a capture: what a relay cannot have it does without, or carries packets in user space.
import { accessSync, constants } from "node:fs";
import type { RelayProbe } from "#native/relay.ts";
import { heldCapabilities } from "./capabilities.ts";
import { check, type Check } from "./check.ts";
import { atLeast } from "./doctor-kernel.ts";
import type { RelayTrial } from "./relay-trial.ts";
import { readLine, type Roots } from "./tune-facts.ts";

function enginesCheck({ proc }: Roots, { programs }: RelayTrial): Check {
  const held = heldCapabilities({ proc });
  // Loaded by CAP_SYS_ADMIN they could still not be attached.
  const lacks = (["CAP_BPF", "CAP_NET_ADMIN"] as const).filter((name) => !held.has(name)).join(", ");
  const refused = lacks === "" ? (programs.outcome === "works" ? "" : programs.detail) : `${lacks} not held`;
  const kernel = refused === "";
  const raw = held.has("CAP_NET_RAW");
  const found = [...(kernel ? ["XDP", "tc"] : []), ...(raw ? ["user space"] : [])].join(", ");
  return check(
    "relay engines",
    kernel && raw,
    `${found || "none"}${kernel ? "" : ` (${refused})`}`,
    "XDP and tc carry packets in the kernel, and go on without the agent; user space is slower, and needs no BPF",
    "see the capabilities, the kernel and BTF above; in a container, its seccomp profile may forbid bpf()",
  );
}

function observedCheck({ programs, observed }: RelayTrial): Check {
  const [name, why] = ["relay losses", "what a device drops behind a redirect is charged to its rule and output"];
  if (programs.outcome !== "works")
    return { name, verdict: "not applicable", found: "no program could be loaded", why };
  const found = observed ? "seen behind a redirect" : "not seen behind a redirect";
  return check(
    name,
    observed,
    found,
    why,
    "grant CAP_PERFMON; the kernel must have BTF, and the tracepoints of XDP and of devices",
  );
}

function tcxCheck({ proc }: Roots): Check {
  const release = readLine(`${proc}/sys/kernel/osrelease`) ?? "unknown";
  const there = atLeast(release, 6, 6);
  return check(
    "tcx",
    there,
    there ? "there" : `not in ${release}: tc's programs are attached by a filter of a clsact qdisc`,
    "a tcx link belongs to its pin: nobody else's `tc` commands take it away, as they can a filter",
    "boot a kernel of 6.6 or later",
  );
}

/** A file system of the machine, seen below the roots that were given. */
function refusal({ sys }: Roots, mount: string): string {
  try {
    accessSync(mount.startsWith("/sys/") ? `${sys}${mount.slice("/sys".length)}` : mount, constants.W_OK);
    return "";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Where a relay pins unless told otherwise (engines.bpffs). */
const usualMount = "/sys/fs/bpf";

function bpffsCheck(roots: Roots): Check {
  const name = "bpffs";
  const why = "a relay pins its BPF programs there, so that they outlive it; a capture pins none";
  const mounts = (readLine(`${roots.proc}/self/mounts`) ?? "").split("\n").map((line) => line.split(" "));
  const there = mounts.filter(([, , kind]) => kind === "bpf").map(([, mount = ""]) => mount);
  const mount = there.find((one) => one === usualMount) ?? there[0];
  if (mount === undefined) return check(name, false, "not mounted", why, `sudo mount -t bpf bpf ${usualMount}`);
  const refused = refusal(roots, mount);
  const found = `${mount}: ${refused === "" ? "writable" : `not writable (${refused})`}`;
  return check(name, refused === "", found, why, `run as its owner; in a container, mount ${mount}/tapline from the host, writable`); // biome-ignore format: one line
}

/** Of the hop header, UDP and IPv4 around a packet of 1500 bytes (docs/semantics.md). */
const overhead = 60;
const usual = 1500;

function ofInterface({ sys }: Roots, name: string, probe: RelayProbe): Check[] {
  const mtu = Number(readLine(`${sys}/class/net/${name}/mtu`) ?? 0);
  const strangers = [...(probe.foreignXdp ? ["XDP"] : []), ...(probe.foreignTc ? ["tc"] : [])];
  const native = probe.xdp === "native";
  return [
    check(
      `XDP of ${name}`,
      native,
      native
        ? `in the driver (${probe.driver})`
        : `not in the driver${probe.driver === "" ? "" : ` (${probe.driver})`}`,
      "rules whose packets come in by it can be carried by XDP; else tc carries them, slower",
      "a NIC whose driver has native XDP, or a newer kernel",
    ),
    check(
      `XDP to ${name}`,
      probe.xdpTarget,
      probe.xdpTarget ? "takes frames" : "takes no frames",
      "XDP can send by it; else rules that send by it are carried by tc",
      probe.driver === "veth"
        ? "give its peer GRO, where that is: sudo ethtool -K PEER gro on"
        : "a NIC whose driver takes redirected frames (ndo_xdp_xmit), or a newer kernel",
    ),
    check(
      `programs on ${name}`,
      strangers.length === 0,
      strangers.length === 0 ? "no others" : `somebody else's: ${strangers.join(", ")}`,
      "a relay replaces nobody's program: another one of XDP leaves it tc, another one of tc may take packets before it",
      `see whose they are: sudo bpftool net show dev ${name}; tc filter show dev ${name} ingress`,
    ),
    check(
      `MTU of ${name}`,
      mtu >= usual + overhead,
      `${mtu} bytes: through a tunnel ${Math.max(0, mtu - overhead)}`,
      `what does not fit a tunnel by it is dropped; packets of ${usual} bytes need ${usual + overhead} (with IPv6 20 more)`,
      `if tunnels leave by it: sudo ip link set ${name} mtu ${usual + overhead + 20}, if its network carries that; or let sources send less`,
    ),
  ];
}

export const indexOf = ({ sys }: Roots, name: string): number => Number(readLine(`${sys}/class/net/${name}/ifindex`) ?? 0); // biome-ignore format: one line

export const relayChecks = (roots: Roots, trial: RelayTrial, names: readonly string[]): Check[] => [
  enginesCheck(roots, trial),
  observedCheck(trial),
  tcxCheck(roots),
  bpffsCheck(roots),
  ...names.flatMap((name) => {
    const probe = trial.interfaces.get(indexOf(roots, name));
    return probe ? ofInterface(roots, name, probe) : [];
  }),
];
