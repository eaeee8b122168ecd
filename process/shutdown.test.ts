import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";

interface Line {
  readonly message: string;
  readonly severity: string;
  readonly part?: string;
  readonly turn?: string;
  readonly [key: string]: unknown;
}

interface Running {
  readonly child: ChildProcess;
  /** Settles when it has logged this message `times` times. */
  said(message: string, times?: number): Promise<void>;
  /** Sends the signals, each after the message before it, and waits for the end. */
  end(...signals: NodeJS.Signals[]): Promise<{ code: number | null; told: string[]; lines: readonly Line[] }>;
}

/** A real process. `script` has `log`, `shutdown` and `wait`; it says "ready" at its end. */
function running(script: string): Running {
  const at = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `const { createLogs } = await import(${at("log.ts")});
       const { createShutdown } = await import(${at("shutdown.ts")});
       const { setTimeout: wait } = await import("node:timers/promises");
       const logs = createLogs({ level: "debug", format: "json" });
       const log = logs.facility("process");
       const shutdown = createShutdown({
         log,
         exitNow: (code) => void logs.close(500).then(() => process.exit(code)),
         notify: (turn) => log.debug("notified", { turn }),
       });
       const part = (name, deadlineMs, close = () => {}) => shutdown.part({ name, deadlineMs, close });
       setTimeout(() => process.exit(99), 20_000); // should this test have died
       ${script}
       log.info("ready");
       const code = await shutdown.ended;
       await logs.close();
       process.exit(code);`,
    ],
    { stdio: ["ignore", "inherit", "pipe"] },
  );
  const lines: Line[] = [];
  const heard = new Set<() => void>();
  const reader = createInterface({ input: child.stderr as NodeJS.ReadableStream });
  reader.on("line", (text) => {
    lines.push(text.startsWith("{") ? (JSON.parse(text) as Line) : { message: text, severity: "raw" });
    for (const hear of heard) hear();
  });
  const said = (message: string, times = 1): Promise<void> =>
    new Promise((resolve) => {
      const hear = (): void => {
        if (lines.filter((line) => line.message === message).length < times) return;
        heard.delete(hear);
        resolve();
      };
      heard.add(hear);
      hear();
    });
  return {
    child,
    said,
    end: async (...signals) => {
      const exited = once(child, "exit") as Promise<[number | null]>;
      const read = once(reader, "close");
      for (const [i, signal] of signals.entries()) {
        await said(i === 0 ? "ready" : "began to stop");
        child.kill(signal);
      }
      const [code] = await exited;
      await read;
      const told = lines.map(({ message, part, turn }) =>
        [message, part ?? turn].filter((word) => word !== undefined).join(" "),
      );
      return { code, told, lines };
    },
  };
}

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s closes the parts in reverse order, one after the other, and exits 0",
  async (signal) => {
    const { code, told } = await running(`
    for (const [name, ms] of [["store", 0], ["engine", 50], ["api", 20]])
      part(name, 1000, async () => { log.info("closing", { part: name }); await wait(ms); });
    shutdown.signal.addEventListener("abort", () => log.info("asked"));`).end(signal);
    expect(told).toEqual([
      "ready",
      "began to stop",
      "notified stopping",
      "asked",
      "closing api",
      "closed a part api",
      "closing engine",
      "closed a part engine",
      "closing store",
      "closed a part store",
      "stopped",
    ]);
    expect(code).toBe(0);
  },
);

test("a part that hangs is given up at its deadline, one that throws is told; the rest is still closed", async () => {
  const { code, lines } = await running(`
    part("store", 1000);
    part("engine", 100, (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("cut off")))));
    part("bus", 100, () => new Promise(() => {}));
    part("api", 1000, () => { throw new Error("broken"); });`).end("SIGTERM");
  expect(code).toBe(1);
  expect(lines.filter(({ part }) => part !== undefined)).toMatchObject([
    { part: "api", severity: "error", error: { message: "broken" } },
    {
      part: "bus",
      severity: "error",
      error: { code: "SHUTDOWN_DEADLINE", message: "bus did not close within 100 ms" },
    },
    { part: "engine", severity: "warning", error: { message: "cut off" } },
    { part: "engine", severity: "error", error: { code: "SHUTDOWN_DEADLINE" } },
    { part: "store", message: "closed a part" },
  ]);
  expect(lines.at(-1)).toMatchObject({ message: "stopped", clean: false });
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("a second signal, %s, ends it at once with %i, and names what was open", async (second, expected) => {
  const started = performance.now();
  const { code, lines } = await running(
    `part("store", 1000); part("engine", 15_000, () => new Promise(() => {}));`,
  ).end("SIGTERM", second);
  expect(code).toBe(expected);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(lines.at(-1)).toMatchObject({ message: "ended at once, by a second signal", open: ["store"] });
});

test.each([
  ["an exception", "setTimeout(() => { throw new Error('by surprise'); });"],
  ["a rejection", "void Promise.reject(new Error('by surprise'));"],
  ["a rejection with nothing in it", "void Promise.reject(undefined);"],
])("%s that nobody handled is critical, drains and exits 1", async (_, script) => {
  const { code, lines } = await running(`part("store", 1000, () => log.info("closing store")); ${script}`).end();
  expect(code).toBe(1);
  expect(lines.find(({ severity }) => severity === "critical")).toMatchObject({
    message: "met an error that nobody handled",
    error: { code: "PROCESS_UNEXPECTED" },
  });
  expect(lines.map(({ message }) => message)).toContain("closing store");
});

test("an error while it stops, again and again, does not keep it from its end", async () => {
  const { code, lines } = await running(`
    part("store", 5000, async () => { const t = setInterval(() => { throw new Error("again"); }, 1); await wait(300); clearInterval(t); });`).end(
    "SIGTERM",
  );
  expect(code).toBe(1);
  const unexpected = lines.filter(({ message, suppressed }) => message.startsWith("met") && suppressed === undefined);
  expect(unexpected.length).toBeLessThanOrEqual(11);
  expect(lines.at(-1)).toMatchObject({ suppressed: expect.any(Number) as number });
});

test("reloads never overlap, and signals that come meanwhile are one more", async () => {
  const agent = running(`
    let at = 0, now = 0;
    shutdown.onReload(async () => {
      if (++now > 1) log.error("overlapped");
      log.info("reload began", { at: ++at });
      await wait(150);
      now--;
      if (at === 1) throw new Error("a bad file");
    });`);
  await agent.said("ready");
  agent.child.kill("SIGHUP");
  await agent.said("reload began");
  for (let i = 0; i < 5; i++) {
    agent.child.kill("SIGHUP");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await agent.said("reload began", 2);
  await agent.said("notified", 4);
  const { code, told } = await agent.end("SIGTERM");
  expect(told).toEqual([
    "ready",
    "notified reloading",
    "reload began",
    "failed to reload; what ran before goes on",
    "notified reloaded",
    "notified reloading",
    "reload began",
    "notified reloaded",
    "began to stop",
    "notified stopping",
    "stopped",
  ]);
  expect(code).toBe(0);
});

test("a reload that runs when the end comes is waited for, before the first part closes", async () => {
  const agent = running(`
    part("store", 1000, () => log.info("closing store"));
    shutdown.onReload(async (signal) => { log.info("reload began"); await wait(200); log.info("reload done", { aborted: signal.aborted }); });`);
  await agent.said("ready");
  agent.child.kill("SIGHUP");
  await agent.said("reload began");
  const { code, told } = await agent.end("SIGTERM");
  expect(told.indexOf("reload done")).toBeGreaterThan(told.indexOf("began to stop"));
  expect(told.indexOf("closing store")).toBeGreaterThan(told.indexOf("reload done"));
  expect(code).toBe(0);
});

test("a signal before anything is there to reload is no end", async () => {
  const agent = running("");
  await agent.said("ready");
  agent.child.kill("SIGHUP");
  await agent.said("ignored a reload");
  expect((await agent.end("SIGTERM")).code).toBe(0);
});

test("a part that is made while it stops is closed as well", async () => {
  const { code, told } = await running(`
    part("store", 1000, () => log.info("closing store"));
    part("engine", 1000, async () => { await wait(20); part("late", 1000, () => log.info("closing late")); });`).end(
    "SIGTERM",
  );
  expect(told).toEqual(expect.arrayContaining(["closing late", "closing store"]) as unknown);
  expect(code).toBe(0);
});
