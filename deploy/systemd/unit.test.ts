// The units as systemd itself reads them. They are not started here: that needs systemd as the first process.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "tapline-unit-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Unit {
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly calls: readonly string[];
  /** exposure ten times: 0 is closed, 100 open; a service without hardening has 96 */
  readonly exposure: number;
}
const units: readonly Unit[] = [
  {
    name: "tapline-sensor.service",
    capabilities: ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_IPC_LOCK"],
    calls: ["@system-service", "bpf"],
    exposure: 25,
  },
  {
    name: "tapline-relay.service",
    capabilities: ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON", "CAP_IPC_LOCK"],
    calls: ["@system-service", "bpf", "perf_event_open"],
    exposure: 40, // root, and /sys writable for the pins
  },
];
const textOf = ({ name }: Unit): string => readFileSync(new URL(name, import.meta.url), "utf8");

/** A copy whose program is this checkout's, since systemd looks whether it can be run. */
function unit(of: Unit, change: (text: string) => string = (same) => same): string {
  const path = join(folder, of.name);
  const program = fileURLToPath(new URL("../../bin/tapline", import.meta.url));
  writeFileSync(path, change(textOf(of).replace("/opt/tapline/bin/tapline", program)));
  return path;
}
const analyze = (...words: string[]) => {
  const { status, stdout, stderr } = spawnSync("systemd-analyze", words, { encoding: "utf8" });
  return { status, text: `${stdout}${stderr}` };
};
/** What systemd says about this file: units of the machine may have faults of their own. */
const verify = (path: string) => {
  const said = analyze("verify", "--man=no", "--recursive-errors=no", path);
  return said.text.split("\n").filter((line) => line.includes("tapline"));
};
const settings = (of: Unit, name: string): string[] =>
  [...textOf(of).matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].flatMap(([, value = ""]) => value.split(" "));

test.each(units)("systemd understands every line of $name", (of) => {
  expect(verify(unit(of))).toEqual([]);
  expect(verify(unit(of, (same) => same.replace("PrivateTmp=yes", "PrivateTmpp=yes"))).join("\n")).toContain(
    "PrivateTmpp",
  );
});

test.each(units)("the exposure of $name stays low", (of) => {
  const asked = (path: string) =>
    analyze("security", "--offline=true", "--no-pager", `--threshold=${of.exposure}`, path);
  const { status, text: table } = asked(unit(of));
  expect(status, table).toBe(0);
  expect(
    asked(unit(of, (same) => same.replace("SystemCallFilter=", "#").replace("ProtectSystem=strict", ""))).status,
  ).not.toBe(0);
});

test.each(units)("$name has the capabilities that it needs, and no others", (of) => {
  expect(settings(of, "AmbientCapabilities")).toEqual(of.capabilities);
  expect(settings(of, "CapabilityBoundingSet")).toEqual(of.capabilities);
});

test.each(units)("the calls that the engine makes pass the filter of $name", (of) => {
  expect(settings(of, "SystemCallFilter")).toEqual(of.calls);
  const listed = new Set<string>();
  const groups = ["@system-service"];
  for (const group of groups)
    for (const line of execFileSync("systemd-analyze", ["syscall-filter", group], { encoding: "utf8" }).split("\n")) {
      const name = line.trim();
      if (name.startsWith("@") && name !== group) groups.push(name);
      else if (/^[a-z]\w*$/.test(name)) listed.add(name);
    }
  const made = [
    "socket",
    "setsockopt",
    "mmap",
    "mlock",
    "mbind",
    "set_mempolicy",
    "sched_setaffinity",
    "poll",
    "epoll_wait",
    "sendmmsg",
    "clone3",
    "execve",
    "fsync",
    "statfs",
  ];
  expect(made.filter((name) => !listed.has(name))).toEqual([]);
});
