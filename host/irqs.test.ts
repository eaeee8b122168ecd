import { readdirSync, rmSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HostFiles } from "./files.ts";
import { readInterface, readInterfaces } from "./interfaces.ts";
import { parseInterrupts, queueIrqs, queueOfIrq, readInterrupts } from "./irqs.ts";
import { machineFolder, type MadeNic, writeMachine } from "./machine-tree.ts";

let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["virtio0-input.3", 3, "rx"],
  ["virtio0-output.3", 3, "tx"],
  ["mlx5_comp11@pci:0000:3b:00.0", 11, "both"],
  ["eth0-TxRx-7", 7, "both"],
  ["i40e-ens1f0-TxRx-12", 12, "both"],
  ["ice-ens1f0-TxRx-0", 0, "both"],
  ["iavf-eth1-TxRx-2", 2, "both"],
  ["eth0-Tx-Rx-5", 5, "both"],
  ["eth0-rx-1", 1, "rx"],
  ["eth0-tx-1", 1, "tx"],
  ["eth0-fp-4", 4, "both"],
  ["eth0-q2-rx", 2, "rx"],
  ["eth0-q2-tx", 2, "tx"],
  ["gve-ntfy-blk1@pci:0000:00:04.0", 1, "both"],
  ["mana_q3@pci:7870:00:00.0", 3, "both"],
  ["eth0-rxtx-6", 6, "both"],
  ["hns3-0000:7d:00.0-TxRx-9", 9, "both"],
  ["mlx4-5@0000:03:00.0", 5, "both"],
  ["eth0-3", 3, "both"],
])("%s serves queue %i, %s", (name, queue, direction) => expect(queueOfIrq(name)).toEqual({ queue, direction }));

test.each([
  "virtio0-config",
  "mlx5_async0@pci:0000:3b:00.0",
  "eth0",
  "i40e-0000:3b:00.0:misc",
  "i40e-0000:3b:00.0:fdir-TxRx-0",
  "ena-mgmnt@pci:0000:00:05.0",
  "iavf-0000:3b:02.0:mbx",
  "eth0-event-9",
  "gve-mgmnt@pci:0000:00:04.0",
  "mana_hwc@pci:7870:00:00.0",
  "aerdrv",
  "",
])("%j serves no queue", (name) => expect(queueOfIrq(name)).toBeUndefined());

test("/proc/interrupts of other machines is read: CPUs with holes, no handler, several handlers, ARM", () => {
  const text = `           CPU0       CPU2
  1:          9          0   IO-APIC    1-edge      i8042
 16:          1          2   IO-APIC   16-fasteoi   ehci_hcd:usb1, eth9
 90:          3          4  PCI-MSI 524288-edge
 91:          3          4  PCI-MSI 524289-edge      eth0-TxRx-0
 13:       7000          8     GICv3  27 Level     arch_timer
 55:          5          6   ITS-MSI 134742016 Edge      mlx5_comp0@pci:0000:01:00.0
NMI:          0          0   Non-maskable interrupts
ERR:          0`;
  const found = parseInterrupts(text);
  expect(found.map(({ irq, name }) => [irq, name])).toEqual([
    [1, "i8042"],
    [16, "ehci_hcd:usb1, eth9"],
    [90, ""],
    [91, "eth0-TxRx-0"],
    [13, "arch_timer"],
    [55, "mlx5_comp0@pci:0000:01:00.0"],
  ]);
  expect([...(found[4]?.counts ?? [])]).toEqual([
    [0, 7000],
    [2, 8],
  ]);
});

function queuesOf(nic: MadeNic): [number, number, string][] {
  const files = writeMachine(folder, { nodes: ["0-3"], nics: [nic] });
  const found = readInterface(files, nic.name);
  if (found === undefined) throw new Error("not made");
  return queueIrqs(files, found, readInterrupts(files)).map(({ irq, queue, name }) => [irq, queue, name]);
}

test("a NIC's queue interrupts are found by its device, also under a name it no longer has", () => {
  expect(
    queuesOf({ name: "enp59s0", bus: "0000:3b:00.0", firstIrq: 60, irqs: ["eth0-TxRx-1", "eth0-TxRx-0", "eth0"] }),
  ).toEqual([
    [61, 0, "eth0-TxRx-0"],
    [60, 1, "eth0-TxRx-1"],
  ]);
});

test("a virtual interface has none, whatever others are called", () => {
  expect(queuesOf({ name: "eth0", irqs: ["eth0-TxRx-0"] })).toEqual([]);
});

test("this machine's NICs have the interrupts that the kernel lists under their devices", () => {
  const files = new HostFiles();
  const nics = readInterfaces(files).filter(({ device }) => files.names(`${device}/msi_irqs`) !== undefined);
  const found = nics.flatMap((nic) => queueIrqs(files, nic, readInterrupts(files)));
  expect(found.length).toBeGreaterThan(0);
  for (const { irq, name, affinity, effective } of found) {
    expect(readdirSync(`/proc/irq/${irq}`)).toContain(name);
    expect(affinity?.length).toBeGreaterThan(0);
    expect(effective).toHaveLength(1);
  }
});
