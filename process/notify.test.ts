import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { createLogs } from "./log.ts";
import { createNotify, type NotifyOptions } from "./notify.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** What systemd does: receives datagrams and closes the descriptors sent with them, which is the barrier the sender waits for. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(repr(s.recv(4096).decode()), flush=True)
`;

async function systemd() {
  const folder = mkdtempSync(join(tmpdir(), "tapline-notify-"));
  open.push(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, "notify");
  const child = spawn("python3", ["-c", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] });
  const reader = createInterface({ input: child.stdout });
  await once(reader, "line");
  open.push(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const heard: string[] = [];
  reader.on("line", (line) => {
    const text = line.slice(1, -1).replaceAll("\\n", "\n");
    if (text !== "BARRIER=1") heard.push(text);
  });
  return { folder, socket, heard };
}

function notifier(environment: NotifyOptions["environment"], more: Partial<NotifyOptions> = {}) {
  const lines: string[] = [];
  const destination = {
    write: (line: string) => void lines.push(line),
    drained: () => Promise.resolve(),
    dropped: () => 0,
  };
  const log = createLogs({ level: "info", format: "json" }, { destination }).facility("process");
  const notify = createNotify({
    environment: { PATH: process.env["PATH"], ...environment },
    log,
    alive: () => true,
    ...more,
  });
  open.push(() => notify.close(AbortSignal.abort()));
  return { notify, lines };
}

test("systemd is told each turn, in order", async () => {
  const { socket, heard } = await systemd();
  const { notify, lines } = notifier({ NOTIFY_SOCKET: socket }, { monotonicUs: () => 123456n });
  notify.ready("capturing on 2\ninterfaces");
  notify.reloading();
  notify.ready("capturing on 3 interfaces");
  notify.stopping();
  await notify.close();
  expect(heard).toEqual([
    "READY=1\nSTATUS=capturing on 2 interfaces",
    "RELOADING=1\nMONOTONIC_USEC=123456",
    "READY=1\nSTATUS=capturing on 3 interfaces",
    "STOPPING=1",
  ]);
  expect(lines).toEqual([]);
});

test("of many lines of status only the newest is told, and it overtakes nothing", async () => {
  const { socket, heard } = await systemd();
  const { notify } = notifier({ NOTIFY_SOCKET: socket });
  notify.ready("started");
  for (let i = 1; i <= 1000; i++) notify.status(`at ${i}`);
  notify.stopping();
  await notify.close();
  expect(heard).toEqual(["READY=1\nSTATUS=started", "STATUS=at 1000", "STOPPING=1"]);
});

test("the watchdog is told while the process is well, and not when it is not", async () => {
  const { socket, heard } = await systemd();
  let well = true;
  const { notify } = notifier(
    { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "200000", WATCHDOG_PID: String(process.pid) },
    { alive: () => well },
  );
  await new Promise((resolve) => setTimeout(resolve, 650));
  well = false;
  const count = heard.length;
  expect(count).toBeGreaterThanOrEqual(3);
  expect(new Set(heard)).toEqual(new Set(["WATCHDOG=1"]));
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(heard.length).toBeLessThanOrEqual(count + 1);
  await notify.close();
});

test("a watchdog meant for another process is none of ours", async () => {
  const { socket, heard } = await systemd();
  notifier({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: "50000", WATCHDOG_PID: "1" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(heard).toEqual([]);
});

test.each([
  ["a socket nobody listens on", {}, "Failed to notify init system: "],
  ["a program that is not there", { program: "/nowhere/systemd-notify" }, "No such file or directory"],
])("%s is told once, and ends nothing", async (_, more, detail) => {
  const { notify, lines } = notifier({ NOTIFY_SOCKET: "/nowhere/notify" }, more);
  notify.ready("a");
  notify.stopping();
  await notify.close();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('"code":"NOTIFY_FAILED"');
  expect(lines[0]).toContain(detail);
});

test("closing does not wait longer than it may for one that hangs", async () => {
  const { folder } = await systemd();
  const program = join(folder, "hangs");
  writeFileSync(program, "#!/bin/sh\nexec sleep 10\n", { mode: 0o755 });
  const { notify } = notifier({ NOTIFY_SOCKET: "/nowhere/notify" }, { program });
  notify.stopping();
  const began = performance.now();
  await notify.close(AbortSignal.timeout(200));
  expect(performance.now() - began).toBeLessThan(1000);
});

test("the shell dies with the process that it tells of, however that ends", async () => {
  const { socket, heard } = await systemd();
  const at = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `const { createNotify } = await import(${at("notify.ts")});
       const { readFileSync } = await import("node:fs");
       createNotify({ environment: process.env, log: undefined, alive: () => true }).ready("up");
       setInterval(() => {}, 1000);
       console.log(readFileSync(\`/proc/self/task/\${process.pid}/children\`, "utf8").trim());`,
    ],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NOTIFY_SOCKET: socket } },
  );
  const [pid] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const there = (): boolean => existsSync(`/proc/${pid}`);
  expect(there()).toBe(true);
  for (const end = performance.now() + 5000; heard.length === 0 && performance.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(heard).toEqual(["READY=1\nSTATUS=up"]);
  child.kill("SIGKILL");
  await once(child, "exit");
  for (const end = performance.now() + 5000; there() && performance.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(there()).toBe(false);
});

test("without systemd nothing is run", async () => {
  const { notify, lines } = notifier({}, { program: "/nowhere/systemd-notify" });
  notify.ready("a");
  notify.status("b");
  await notify.close();
  expect(lines).toEqual([]);
});
