import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import { createLogs, type LogSettings } from "./log.ts";

/** The lines in memory instead of on a descriptor, and a clock that stands still until it is moved. */
function recorded(settings: LogSettings = { level: "info", format: "json" }) {
  const lines: string[] = [];
  const clock = { ms: Date.parse("2026-11-21T10:00:00.123Z") };
  const destination = {
    write: (line: string) => void lines.push(line),
    drained: () => Promise.resolve(),
    dropped: () => 0,
  };
  const logs = createLogs(settings, { destination, terminal: false, now: () => clock.ms });
  const take = () => lines.splice(0);
  return { logs, clock, take, json: () => take().map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test("a line is one object: time, severity, facility, message, values", () => {
  const { logs, take } = recorded();
  logs
    .facility("capture")
    .warning("lost the interface", { interface: "eth1", packets: 10n ** 17n, ring: { blocks: 3 } });
  expect(take()).toEqual([
    '{"severity":"warning","time":"2026-11-21T10:00:00.123Z","facility":"capture","interface":"eth1","packets":100000000000000000,"ring":{"blocks":3},"message":"lost the interface"}\n',
  ]);
});

test("text for people has the same, and an error on lines of its own", () => {
  const { logs, take } = recorded({ level: "info", format: "text" });
  logs.facility("api").info("answered", { path: "/api/v1/flows", filter: "lost>0 proto=esp", none: undefined });
  logs
    .facility("api")
    .error("could not listen", { error: new TaplineError("PORT_IN_USE", { port: 1, host: "h" }), tries: 2 });
  expect(take()).toEqual([
    '10:00:00.123 info     api      answered  path=/api/v1/flows filter="lost>0 proto=esp"\n',
    "10:00:00.123 error    api      could not listen  tries=2\n    port 1 on h is in use (PORT_IN_USE)\n" +
      "    hint: stop the other program, or choose another port: --port, or the configuration file\n",
  ]);
});

test("a facility's level holds for it alone, and changes at run time", () => {
  const { logs, json } = recorded({ level: "notice", facilities: { bus: "debug" } });
  const told = () => {
    for (const facility of ["bus", "store"] as const)
      for (const severity of ["debug", "info", "notice", "warning", "error", "critical"] as const)
        logs.facility(facility)[severity](`said ${severity}`);
    return json().map((line) => `${String(line["facility"])} ${String(line["severity"])}`);
  };
  expect(told()).toHaveLength(6 + 4);
  logs.set({ level: "error", facilities: { store: "critical" } });
  expect(told()).toEqual(["bus error", "bus critical", "store critical"]);
});

test("the eleventh of a message in ten seconds is held back, and told of with its count", async () => {
  const { logs, clock, json } = recorded();
  const log = logs.facility("store");
  for (let i = 0; i < 15; i++) log.warning("waited for the disk", { i });
  log.warning("something else");
  log.error("waited for the disk"); // another severity
  for (let i = 0; i < 15; i++) log.critical("stopped");
  expect(json().map((line) => line["i"] ?? line["message"])).toEqual([
    ...Array.from({ length: 10 }, (_, i) => i),
    "something else",
    "waited for the disk",
    ...Array<string>(15).fill("stopped"),
  ]);
  expect(logs.counts()).toEqual({ suppressed: 5, dropped: 0 });
  clock.ms += 10_000;
  log.warning("waited for the disk", { i: 15 });
  expect(json()).toEqual([
    expect.objectContaining({ message: "waited for the disk", severity: "warning", suppressed: 5 }),
    expect.objectContaining({ message: "waited for the disk", i: 15 }),
  ]);
  for (let i = 0; i < 12; i++) log.warning("waited for the disk");
  json();
  await logs.close();
  expect(json()).toEqual([expect.objectContaining({ suppressed: 3 })]);
});

test("the table of messages is bounded, and still tells of what it forgets", () => {
  const { logs, json } = recorded();
  for (let i = 0; i < 12; i++) logs.facility("bus").info("first");
  for (let i = 0; i < 3000; i++) logs.facility("bus").info(`varied ${i}`); // a fault of the caller's
  expect(json().filter((line) => line["suppressed"] !== undefined)).toEqual([
    expect.objectContaining({ message: "first", suppressed: 2 }),
  ]);
});

test("secrets are not written, wherever they stand", () => {
  const { logs, take } = recorded();
  logs.facility("bus").info("connected", {
    url: "nats://me:hunter2@host:4222",
    token: "hunter2",
    nested: [{ userPassword: "hunter2", headers: { Authorization: "Bearer hunter2" } }],
    text: "curl -H 'Authorization: Bearer hunter2hunter2'",
    error: new Error("no answer from tls://me:hunter2@host", { cause: new Error("wss://hunter2@x") }),
    nkeySeed: new Uint8Array(3),
    tokenFile: "/etc/tapline/token",
  });
  const [line] = take();
  expect(line).not.toContain("hunter2");
  expect(JSON.parse(line ?? "")).toMatchObject({
    url: "nats://[hidden]@host:4222",
    token: "[hidden]",
    nkeySeed: "[hidden]",
    tokenFile: "/etc/tapline/token",
  });
});

test("no value can break a line, hide its own fields or grow without bounds", () => {
  const { logs, json } = recorded();
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  logs.facility("process").info("took", {
    circle,
    text: `a\nb${"x".repeat(1e6)}`,
    many: Array.from({ length: 1e5 }, (_, i) => i),
    date: new Date(NaN),
    nan: NaN,
    map: new Map([[1, 2]]),
    bytes: new Uint8Array(7),
    call: () => 1,
    message: "forged",
    severity: "critical",
  });
  const [line, ...rest] = json();
  expect(rest).toEqual([]);
  expect(JSON.stringify(line).length).toBeLessThan(6000);
  expect(line).toMatchObject({ message: "took", severity: "info", message_: "forged", nan: "NaN", bytes: "7 bytes" });
});

const child = (script: string) => [
  "--input-type=module",
  "-e",
  `const { createLogs } = await import(${JSON.stringify(new URL("log.ts", import.meta.url).href)});
   const logs = createLogs({ level: "info" }); const log = logs.facility("process"); ${script}`,
];

test("standard error gets every line, and json when it is no terminal", () => {
  const { stderr, stdout } = spawnSync(
    process.execPath,
    child(
      'for (let i = 0; i < 5000; i++) log.critical("counted", { i }); await logs.close(); console.log(logs.counts().dropped)',
    ),
    { encoding: "utf8", maxBuffer: 1 << 26 },
  );
  const seen = stderr
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { i: number }).i);
  expect(seen).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  expect(stdout).toBe("0\n");
});

test("a reader that stands still costs lines, which are counted, not the process", async () => {
  const running = spawn(
    process.execPath,
    child(`for (let i = 0; i < 20000; i++) log.critical("counted", { i, text: "x".repeat(100) });
           const started = Date.now(); await logs.close(300);
           console.log(JSON.stringify({ ...logs.counts(), ms: Date.now() - started })); process.exit(0)`),
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const [told] = (await once(running.stdout, "data")) as [Buffer];
  const { dropped, ms } = JSON.parse(String(told)) as { dropped: number; ms: number };
  expect(dropped).toBeGreaterThan(5000);
  expect(ms).toBeGreaterThanOrEqual(299);
  expect(ms).toBeLessThan(3000);
  const watchdog = setTimeout(() => running.kill("SIGKILL"), 5000);
  expect(await once(running, "exit")).toEqual([0, null]);
  clearTimeout(watchdog);
});

test("a reader that went away ends nothing", () => {
  const { stdout, status } = spawnSync(
    "bash",
    [
      "-c",
      '"$@" 2> >(exec true)',
      "bash",
      process.execPath,
      ...child(`await new Promise((r) => setTimeout(r, 100)); log.info("a"); await logs.close();
      log.info("b"); await logs.close(); log.info("c"); await logs.close(); console.log(logs.counts().dropped)`),
    ],
    { encoding: "utf8" },
  );
  expect({ stdout, status }).toEqual({ stdout: "3\n", status: 0 });
});
