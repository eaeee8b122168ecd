// The part of the examination that concerns the machine: its interfaces, processors, clock and disk.
import { accessSync, constants, existsSync, readdirSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import type { HostProbe } from "#native/engine.ts";
import { check, type Check } from "./check.ts";
import { driverLosses } from "./ethtool.ts";
import { tunePlan } from "./tune.ts";
import { cpusOf, readLine, tuneFacts, type Roots } from "./tune-facts.ts";

const names = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

function filterCheck(proc: string, name: string): Check {
  const value = (of: string): number => Number(readLine(`${proc}/sys/net/ipv4/conf/${of}/rp_filter`) ?? 0);
  const used = Math.max(value("all"), value(name)); // the kernel takes the larger
  return check(
    `rp_filter of ${name}`,
    used !== 1,
    ["off", "strict", "loose"][used] ?? String(used),
    "strict drops multicast whose source is routed over another interface, before any receiver here sees it",
    `sudo sysctl -w net.ipv4.conf.${name}.rp_filter=2`,
  );
}

function checksOf(roots: Roots, name: string): Check[] {
  try {
    const facts = tuneFacts(name, roots);
    const toChange = tunePlan(facts).items.filter(({ state }) => state === "to change");
    const lost = Object.entries(driverLosses(facts.ethtool)).filter(([, count]) => count > 0);
    return [
      check(
        `settings of ${name}`,
        toChange.length === 0,
        toChange.map(({ what, now, wanted }) => `${what} ${now} → ${wanted}`).join(", ") || "as a capture wants them",
        "rings too short lose frames; offloads that merge packets hide their numbers",
        `tapline tune ${name}, then: sudo tapline tune ${name} --apply`,
      ),
      check(
        `drops of ${name}`,
        lost.length === 0,
        lost.map(([counter, count]) => `${counter} ${count}`).join(", ") || "the driver counts none",
        "what the device or the cloud dropped never reached a capture; the counters run since the driver started",
        `ethtool -S ${name}; a longer ring helps the device: sudo tapline tune ${name} --apply`,
      ),
      filterCheck(roots.proc, name),
    ];
  } catch (error) {
    if (!(error instanceof TaplineError)) throw error;
    const why = "it was asked about by name";
    return [{ name: `interface ${name}`, verdict: "missing", found: error.message, why, remedy: error.hint }];
  }
}

/** Those named, or those with a device behind them. */
export const examined = ({ sys }: Roots, named: readonly string[]): readonly string[] =>
  named.length > 0 ? named : names(`${sys}/class/net`).filter((name) => existsSync(`${sys}/class/net/${name}/device`));

export function interfaceChecks(roots: Roots, found: readonly string[]): Check[] {
  if (found.length > 0) return found.flatMap((name) => checksOf(roots, name));
  return [
    {
      name: "interfaces",
      verdict: "not applicable",
      found: "none with a device behind it: name those to look at",
      why: "rings and offloads decide what a capture can see",
    },
  ];
}

function balancerCheck(proc: string): Check {
  const running = names(proc).some((pid) => /^\d+$/.test(pid) && readLine(`${proc}/${pid}/comm`) === "irqbalance");
  return check(
    "irqbalance",
    !running,
    running ? "running" : "not running",
    "it moves interrupts between CPUs every few seconds, away from where they were pinned",
    "sudo systemctl disable --now irqbalance, or let it keep off: IRQBALANCE_BANNED_CPULIST",
  );
}

function interruptCheck(proc: string): Check {
  let refusal = "";
  try {
    accessSync(`${proc}/irq/default_smp_affinity`, constants.W_OK);
  } catch (error) {
    refusal = (error as NodeJS.ErrnoException).code ?? "not to be written";
  }
  return check(
    "interrupts",
    refusal === "",
    refusal === "" ? "can be moved" : `cannot be moved (${refusal})`,
    "pinning puts a NIC's interrupts on the CPUs beside it; without the right it only reports them",
    "run as root; in a container, mount the host's /proc/irq writable",
  );
}

function governorCheck(sys: string): Check {
  const why = "a processor that must wake up first, or run faster first, loses the beginning of a burst";
  const cpus = `${sys}/devices/system/cpu`;
  const governors = new Set(names(cpus).flatMap((cpu) => readLine(`${cpus}/${cpu}/cpufreq/scaling_governor`) ?? []));
  const name = "CPU governor";
  if (governors.size === 0)
    return { name, verdict: "not applicable", found: "the speed is not this system's to choose", why };
  const good = governors.size === 1 && governors.has("performance");
  return check(name, good, [...governors].join(", "), why, "sudo cpupower frequency-set -g performance");
}

function clockSourceCheck(sys: string): Check {
  const folder = `${sys}/devices/system/clocksource/clocksource0`;
  const current = readLine(`${folder}/current_clocksource`) ?? "unknown";
  const fast = (readLine(`${folder}/available_clocksource`) ?? "").split(" ").find((one) => quick.has(one));
  return check(
    "clock source",
    quick.has(current),
    current,
    "every frame is stamped by it: the slow ones take a microsecond each",
    fast === undefined
      ? "none of the quick ones (tsc, kvm-clock) is there: see dmesg | grep clocksource"
      : `echo ${fast} | sudo tee ${folder}/current_clocksource`,
  );
}
const quick: ReadonlySet<string> = new Set(["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"]);

function timeCheck({ clock: { synchronised, estimatedErrorUs } }: HostProbe): Check {
  return check(
    "time",
    synchronised,
    synchronised
      ? `synchronised, within about ${Math.max(estimatedErrorUs / 1000, 0.001).toFixed(3)} ms`
      : "the clock is not synchronised",
    "times are compared between nodes: they are worth what the clocks are",
    "sudo apt-get install chrony; chronyc tracking tells how far off it is",
  );
}

function numaCheck(sys: string): Check {
  const nodes = cpusOf(readLine(`${sys}/devices/system/node/online`) ?? "0");
  const why = "a frame that crosses from one node's memory to another's costs twice the time";
  if (nodes.size < 2) return { name: "NUMA", verdict: "not applicable", found: "one node: all memory is as near", why };
  const cpus = [...nodes].map(
    (node) => `node ${node}: CPU ${readLine(`${sys}/devices/system/node/node${node}/cpulist`)}`,
  );
  return { name: "NUMA", verdict: "ok", found: `${nodes.size} nodes (${cpus.join("; ")})`, why };
}

export const machineChecks = ({ proc, sys }: Roots, probe: HostProbe): Check[] => [
  balancerCheck(proc),
  interruptCheck(proc),
  governorCheck(sys),
  clockSourceCheck(sys),
  timeCheck(probe),
  numaCheck(sys),
];

const enoughDisk = 2 ** 30;

export function storeCheck(store: string): Check {
  const why = "flows and gaps are written there; when it is full, they are only counted";
  let folder = store;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const amount = `${(free / 2 ** 30).toFixed(1)} GiB free`;
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return check("store", false, `${folder} cannot be written (${code})`, why, `sudo install -d -o "$USER" ${store}`);
  }
  const where = folder === store ? store : `${store} (to be made in ${folder})`;
  return check(
    "store",
    free >= enoughDisk,
    `${where}: ${amount}`,
    why,
    `free some space, or choose another place: --store`,
  );
}
