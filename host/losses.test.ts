import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { driverLosses, driverLossNames, interfaceLossReport, softnetReport } from "#domain/losses.ts";
import { HostFiles } from "./files.ts";
import { driverLossesIn, Losses } from "./losses.ts";
import { machineFolder, writeMachine } from "./machine-tree.ts";
import { parseSoftnet } from "./softnet.ts";

let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const machine = (): HostFiles => {
  const files = writeMachine(folder, {
    nodes: ["0-1"],
    nics: [{ name: "ens1", files: { "statistics/rx_missed_errors": "100", "statistics/rx_dropped": "7" } }],
  });
  return files;
};
const set = (files: HostFiles, file: string, value: string | number): void =>
  writeFileSync(files.sys("class/net/ens1", file), `${value}\n`);

describe("an interface's losses", () => {
  test("count from the start, not from the machine's", () => {
    const files = machine();
    const losses = new Losses(files);
    expect(losses.interfaces(["ens1"])).toEqual([
      { interface: "ens1", kernel: { rx_missed_errors: 0, rx_dropped: 0 }, driver: {} },
    ]);
    set(files, "statistics/rx_missed_errors", 105);
    expect(losses.interfaces(["ens1"])[0]?.kernel).toEqual({ rx_missed_errors: 5, rx_dropped: 0 });
    set(files, "statistics/rx_missed_errors", "18446744073709551615".slice(0, 15));
    expect(interfaceLossReport.parse(losses.interfaces(["ens1"])[0]).kernel.rx_missed_errors).toBe(
      184467440737095 - 100,
    );
  });

  test("that fall began anew: all of the new count is added", () => {
    const files = machine();
    const losses = new Losses(files);
    losses.interfaces(["ens1"]);
    set(files, "statistics/rx_missed_errors", 3);
    expect(losses.interfaces(["ens1"])[0]?.kernel.rx_missed_errors).toBe(3);
  });

  test("of one made again are added to the former's, also when they passed its count already", () => {
    const files = machine();
    const losses = new Losses(files);
    losses.interfaces(["ens1"]);
    set(files, "statistics/rx_missed_errors", 110);
    losses.interfaces(["ens1"]);
    set(files, "ifindex", 50);
    set(files, "statistics/rx_missed_errors", 200);
    expect(losses.interfaces(["ens1"])[0]?.kernel.rx_missed_errors).toBe(210);
  });

  test("of one that is not watched any more stay as they are, and are read again when it is", () => {
    const files = machine();
    const losses = new Losses(files);
    const read = (watched: boolean) => losses.interfaces(["ens1"], () => watched)[0]?.kernel.rx_missed_errors;
    read(true);
    set(files, "statistics/rx_missed_errors", 130);
    expect([read(false), read(true)]).toEqual([0, 30]);
  });

  test("of one made after the start are all ours; one that is gone keeps its sums; one that never was has none", () => {
    const files = writeMachine(folder, { nodes: ["0"], nics: [] });
    const losses = new Losses(files);
    expect(losses.interfaces(["ens1"])).toEqual([{ interface: "ens1", kernel: {}, driver: {} }]);
    machine();
    expect(losses.interfaces(["ens1"])[0]?.kernel).toEqual({ rx_missed_errors: 100, rx_dropped: 7 });
    rmSync(files.sys("class/net/ens1"), { recursive: true });
    expect(losses.interfaces(["ens1"])[0]?.kernel).toEqual({ rx_missed_errors: 100, rx_dropped: 7 });
  });

  test("by the driver are taken by known names, those of queues summed, others left out", () => {
    let given: Record<string, bigint> = {
      pps_allowance_exceeded: 4n,
      rx_queue_0_drops: 1n,
      rx_queue_1_drops: 2n,
      tx_bytes: 9n,
    };
    const losses = new Losses(machine(), () => given);
    losses.interfaces(["ens1"]);
    given = { pps_allowance_exceeded: 10n, rx_queue_0_drops: 3n, rx_queue_1_drops: 2n, tx_bytes: 99n };
    expect(losses.interfaces(["ens1"])[0]?.driver).toEqual({ pps_allowance_exceeded: 6, rx_queue_drops: 2 });
  });

  test.each(driverLossNames.map((name) => [name]))("%s is known by its own name", (name) => {
    expect(driverLossesIn({ [name]: 1 })).toEqual({ [name]: 1 });
    expect(driverLosses[name].length).toBeGreaterThan(10);
  });
});

describe("softnet_stat", () => {
  const old = "0000000a 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000003";
  const modern = `${old} 00000000 00000007 00000000 00000000`;

  test.each([
    ["of Linux 3.11", old, { cpu: 4, flowLimit: 3 }],
    ["of Linux 6", modern, { cpu: 7, flowLimit: 3 }],
    ["with nine columns", old.split(" ").slice(0, 9).join(" "), { cpu: 4, flowLimit: 0 }],
  ])("%s is read", (_, line, more) =>
    expect(parseSoftnet(`${line}\n`, [4, 5])).toEqual([{ processed: 10, dropped: 1, timeSqueeze: 2, ...more }]),
  );

  const write = (files: HostFiles, ...lines: readonly [cpu: number, processed: number, dropped: number][]): void => {
    const text = lines.map(([cpu, processed, dropped]) =>
      [processed, dropped, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, cpu]
        .map((value) => value.toString(16).padStart(8, "0"))
        .join(" "),
    );
    mkdirSync(files.proc("net"), { recursive: true });
    writeFileSync(files.proc("net/softnet_stat"), text.join("\n"));
  };

  test("counts since the start, over the wrap of 32 bits and over CPUs that come and go", () => {
    const files = machine();
    write(files, [0, 0xffff_fff0, 5], [1, 100, 0]);
    const losses = new Losses(files);
    expect(losses.softnet()).toEqual({ processed: 0, dropped: 0, time_squeeze: 0, flow_limit: 0, cpus: [] });
    write(files, [0, 0x10, 8]);
    expect(softnetReport.parse(losses.softnet())).toMatchObject({
      processed: 32,
      dropped: 3,
      cpus: [{ cpu: 0, processed: 32, dropped: 3 }],
    });
    write(files, [0, 0x10, 8], [1, 150, 0]);
    expect(losses.softnet()).toMatchObject({ processed: 82, dropped: 3 });
  });

  test("of this machine has a line for each CPU", () => {
    const lines = parseSoftnet(readFileSync("/proc/net/softnet_stat", "utf8"), []);
    expect(lines.length).toBeGreaterThanOrEqual(availableParallelism());
    expect(new Set(lines.map(({ cpu }) => cpu)).size).toBe(lines.length);
    expect(new Losses(new HostFiles()).softnet().processed).toBeGreaterThanOrEqual(0);
  });
});
