// For tests: writes a tree of sysfs and procfs files as a machine with several NUMA nodes and NICs would show them.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { cpuListText, cpuMaskText, parseCpuList } from "./cpu-list.ts";
import { HostFiles } from "./files.ts";

export interface MadeNic {
  readonly name: string;
  /** absent: a virtual interface */
  readonly bus?: string;
  readonly node?: number;
  readonly driver?: string;
  /** names of its interrupts, from `firstIrq` on; those of queues and others */
  readonly irqs?: readonly string[];
  readonly firstIrq?: number;
  readonly queues?: number;
  readonly files?: Readonly<Record<string, string>>;
  readonly lower?: readonly string[];
}

export interface MadeMachine {
  /** CPU lists, by node */
  readonly nodes: readonly string[];
  /** CPUs n and n + this are one core; 0: none share */
  readonly smt?: number;
  readonly isolated?: string;
  readonly tickless?: string;
  readonly affinity?: string;
  readonly memory?: string;
  /** of a cgroup v2 */
  readonly cpuset?: string;
  readonly nics: readonly MadeNic[];
  readonly bootId?: string;
}

/** In memory, as sysfs is: a thousand small files on a busy disk take a second. To be removed by the test. */
export const machineFolder = (): string => mkdtempSync("/dev/shm/tapline-host-");

const firstBoot = "11111111-2222-3333-4444-555555555555";

/** A machine that stood there before is removed. */
export function writeMachine(folder: string, machine: MadeMachine): HostFiles {
  for (const part of ["sys", "proc"]) rmSync(join(folder, part), { recursive: true, force: true });
  const files = new HostFiles({ sys: join(folder, "sys"), proc: join(folder, "proc") });
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${text}\n`);
  };
  const link = (path: string, target: string): void => {
    mkdirSync(dirname(path), { recursive: true });
    mkdirSync(target, { recursive: true });
    symlinkSync(relative(dirname(path), target), path);
  };
  const nodes = machine.nodes.map((list) => parseCpuList(list) ?? []);
  const cpus = nodes.flat().toSorted((a, b) => a - b);

  put(files.sys("devices/system/cpu/online"), cpuListText(cpus));
  put(files.sys("devices/system/cpu/isolated"), machine.isolated ?? "");
  if (machine.tickless !== undefined) put(files.sys("devices/system/cpu/nohz_full"), machine.tickless);
  for (const cpu of cpus) {
    const smt = machine.smt ?? 0;
    const core = smt === 0 ? [cpu] : [cpu % smt, (cpu % smt) + smt];
    put(files.sys(`devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`), cpuListText(core));
  }
  put(files.sys("devices/system/node/online"), cpuListText(nodes.keys()));
  for (const [id, list] of nodes.entries()) {
    put(files.sys(`devices/system/node/node${id}/cpulist`), cpuListText(list));
    put(
      files.sys(`devices/system/node/node${id}/distance`),
      nodes.map((_, other) => (id === other ? 10 : 21)).join(" "),
    );
  }
  put(
    files.proc("self/status"),
    `Name:\tnode\nCpus_allowed_list:\t${machine.affinity ?? cpuListText(cpus)}\nMems_allowed_list:\t${machine.memory ?? cpuListText(nodes.keys())}`,
  );
  put(files.proc("self/cgroup"), "0::/pod/agent");
  if (machine.cpuset !== undefined) put(files.sys("fs/cgroup/pod/agent/cpuset.cpus.effective"), machine.cpuset);
  put(files.proc("sys/kernel/random/boot_id"), machine.bootId ?? firstBoot);

  const lines = [`     ${cpus.map((cpu) => `CPU${cpu}`.padStart(11)).join("")}`];
  for (const [position, nic] of machine.nics.entries()) {
    const irqs = (nic.irqs ?? []).map((name, i) => ({ name, irq: (nic.firstIrq ?? 100 + 100 * position) + i }));
    writeNic(
      files,
      put,
      link,
      nic,
      position + 2,
      irqs.map(({ irq }) => irq),
    );
    for (const [i, { name, irq }] of irqs.entries()) {
      const counts = cpus.map((cpu) => String(cpu === 0 ? irq * 10 : 0).padStart(11)).join("");
      lines.push(
        `${String(irq).padStart(4)}:${counts}  PCI-MSIX-${nic.bus} ${String(i).padStart(4)}-edge      ${name}`,
      );
      put(files.irq(`${irq}`, "smp_affinity_list"), cpuListText(cpus));
      put(files.irq(`${irq}`, "effective_affinity_list"), "0");
      mkdirSync(files.irq(`${irq}`, name), { recursive: true }); // its handler
    }
  }
  put(
    files.proc("interrupts"),
    [...lines, `NMI:${cpus.map(() => "0".padStart(11)).join("")}   Non-maskable interrupts`].join("\n"),
  );
  return files;
}

function writeNic(
  files: HostFiles,
  put: (path: string, text: string) => void,
  link: (path: string, target: string) => void,
  nic: MadeNic,
  index: number,
  irqs: readonly number[],
): void {
  const folder = files.sys("class/net", nic.name);
  put(`${folder}/ifindex`, `${index}`);
  put(`${folder}/iflink`, `${index}`);
  put(`${folder}/type`, "1");
  put(`${folder}/mtu`, "1500");
  put(`${folder}/operstate`, "up");
  put(`${folder}/carrier`, "1");
  put(`${folder}/threaded`, "0");
  for (let queue = 0; queue < (nic.queues ?? 1); queue++) {
    put(`${folder}/queues/rx-${queue}/rps_cpus`, cpuMaskText([]));
    put(`${folder}/queues/tx-${queue}/xps_cpus`, cpuMaskText([]));
  }
  for (const name of nic.lower ?? []) link(`${folder}/lower_${name}`, files.sys("class/net", name));
  for (const [path, text] of Object.entries(nic.files ?? {})) put(join(folder, path), text);
  if (nic.bus === undefined) return;
  const device = files.sys("devices/pci0000:00", nic.bus);
  put(`${device}/numa_node`, `${nic.node ?? -1}`);
  for (const irq of irqs) put(`${device}/msi_irqs/${irq}`, "msix");
  link(`${device}/subsystem`, files.sys("bus/pci"));
  link(`${device}/driver`, files.sys("bus/pci/drivers", nic.driver ?? "mlx5_core"));
  link(`${folder}/device`, device);
}
