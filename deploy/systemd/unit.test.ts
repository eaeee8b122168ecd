// The unit as systemd itself reads it. It is not started here: that needs systemd as the first process.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "tapline-unit-"));
afterAll(() => rmSync(folder, { recursive: true }));
const text = readFileSync(new URL("tapline-sensor.service", import.meta.url), "utf8");

/** A copy whose program is this checkout's, since systemd looks whether it can be run. */
function unit(change: (text: string) => string = (same) => same): string {
  const path = join(folder, "tapline-sensor.service");
  const program = fileURLToPath(new URL("../../bin/tapline", import.meta.url));
  writeFileSync(path, change(text.replace("/opt/tapline/bin/tapline", program)));
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
const settings = (name: string): string[] =>
  [...text.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].flatMap(([, value = ""]) => value.split(" "));

test("systemd understands every line", () => {
  expect(verify(unit())).toEqual([]);
  expect(verify(unit((same) => same.replace("PrivateTmp=yes", "PrivateTmpp=yes"))).join("\n")).toContain("PrivateTmpp");
});

/** Exposure ten times: 0 is closed, 100 open. A service without hardening has 96. */
const most = 25;
test("its exposure stays low", () => {
  const asked = (path: string) => analyze("security", "--offline=true", "--no-pager", `--threshold=${most}`, path);
  const { status, text: table } = asked(unit());
  expect(status, table).toBe(0);
  expect(
    asked(unit((same) => same.replace("SystemCallFilter=", "#").replace("ProtectSystem=strict", ""))).status,
  ).not.toBe(0);
});

test("it has the capabilities that capturing needs, and no others", () => {
  const needed = ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_IPC_LOCK"];
  expect(settings("AmbientCapabilities")).toEqual(needed);
  expect(settings("CapabilityBoundingSet")).toEqual(needed);
});

test("the calls that the engine makes pass its filter", () => {
  expect(settings("SystemCallFilter")).toEqual(["@system-service", "bpf"]);
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
