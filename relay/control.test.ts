// The control socket on a real one: who may ask, halves, floods, and how things end.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { mayAsk } from "#host/peer.ts";
import { createLogs } from "#process/log.ts";
import { askRelay } from "./control-client.ts";
import { type Answering, type ControlOptions, startControl } from "./control-server.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "tapline-control-"));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const log = createLogs({ level: "critical" }).facility("relay");

const echo: Answering = async (question, asker) => ({ question, asker });
async function control(options: Partial<ControlOptions> = {}) {
  const path = join(folder, `${made++}`, "control.sock");
  const server = await startControl({ path, group: undefined, answer: echo, log, ...options });
  return { path, [Symbol.asyncDispose]: () => server.close() };
}

/** A connection that writes what it likes. */
class Raw implements Disposable {
  readonly socket: Socket;
  text = "";
  closed = false;
  constructor(path: string) {
    this.socket = createConnection(path);
    this.socket.setEncoding("utf8").on("data", (part: string) => (this.text += part));
    this.socket.on("close", () => (this.closed = true)).on("error", () => undefined);
  }
  get answers(): { ok: boolean; more?: boolean; result?: unknown; error?: { code: string } }[] {
    return this.text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as never); // biome-ignore format: one line
  }
  async until(holds: () => boolean): Promise<void> {
    for (let i = 0; i < 500 && !holds(); i++) await sleep(10);
    expect(holds(), this.text).toBe(true);
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

test("asks and is answered, by the process that the kernel names", async () => {
  await using server = await control();
  const answer = await askRelay({ do: "ping" }, { path: server.path });
  expect(answer).toMatchObject({ question: { do: "ping" }, asker: { pid: process.pid, uid: process.getuid?.() } });
});

test("the socket is for its owner and group, in a folder that others cannot look into", async () => {
  await using server = await control({ group: 65_534 });
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  expect(mode(server.path)).toBe("660");
  expect(statSync(server.path).gid).toBe(65_534);
  expect(mode(join(server.path, ".."))).toBe("750");
  // Somebody else cannot even connect.
  const ask = `require("net").connect(${JSON.stringify(server.path)}).on("error", (e) => console.log(e.code)).on("connect", () => console.log("in"))`;
  const as = (uid: number, gid: number) =>
    run("setpriv", [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--", process.execPath, "-e", `${ask}.unref()`, "x"]).then(({ stdout }) => stdout.trim()); // biome-ignore format: one command
  expect(await as(12_345, 12_345)).not.toBe("in");
});

test("root, the relay's own user and its group may ask; a supplementary group is enough; nobody else", () => {
  const peer = { pid: 1, uid: 1000, gid: 1000, groups: [] as number[] };
  expect(mayAsk({ ...peer, uid: 0 }, 500, undefined)).toBe(true);
  expect(mayAsk({ ...peer, uid: 500 }, 500, undefined)).toBe(true);
  expect(mayAsk(peer, 500, undefined)).toBe(false);
  expect(mayAsk(peer, 500, 77)).toBe(false);
  expect(mayAsk({ ...peer, gid: 77 }, 500, 77)).toBe(true);
  expect(mayAsk({ ...peer, groups: [5, 77] }, 500, 77)).toBe(true);
});

describe("what comes over it", () => {
  test("several questions in one piece, one in many pieces, empty lines: answered in their order", async () => {
    await using server = await control();
    using raw = new Raw(server.path);
    raw.socket.write('{"n":1}\n\n{"n":2}\n{"n"');
    await raw.until(() => raw.answers.length === 2);
    raw.socket.write(":3}");
    raw.socket.write("\n");
    await raw.until(() => raw.answers.length === 3);
    expect(raw.answers.map(({ result }) => (result as { question: unknown }).question)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]); // biome-ignore format: one row
  });

  test("half a question is waited for and then refused; what comes slowly without end is, too", async () => {
    await using server = await control({ limits: { patienceMs: 300 } });
    using half = new Raw(server.path);
    half.socket.write('{"do":"pi');
    using slow = new Raw(server.path);
    const drip = setInterval(() => slow.socket.write(" "), 50);
    await half.until(() => half.closed);
    await slow.until(() => slow.closed);
    clearInterval(drip);
    expect(half.answers[0]?.error?.code).toBe("CONTROL_INCOMPLETE");
    expect(slow.answers[0]?.error?.code).toBe("CONTROL_INCOMPLETE");
    expect(await askRelay({ do: "ping" }, { path: server.path })).toBeDefined();
  });

  test("what is no JSON is told so, and the next question is answered", async () => {
    await using server = await control();
    using raw = new Raw(server.path);
    raw.socket.write("ping\n\xff\n{}\n");
    await raw.until(() => raw.answers.length === 3);
    expect(raw.answers.map(({ ok, error }) => error?.code ?? ok)).toEqual(["CONTROL_BAD_QUESTION", "CONTROL_BAD_QUESTION", true]); // biome-ignore format: one row
  });

  test("a line that never ends is cut off before it is held", async () => {
    await using server = await control({ limits: { lineBytes: 1000 } });
    using raw = new Raw(server.path);
    raw.socket.write("x".repeat(5000));
    await raw.until(() => raw.closed);
    expect(raw.answers[0]?.error?.code).toBe("CONTROL_TOO_LONG");
  });

  test("more than may be are told to wait, and room is made when one goes", async () => {
    await using server = await control({ limits: { connections: 2 } });
    using first = new Raw(server.path);
    using second = new Raw(server.path);
    for (const raw of [first, second]) raw.socket.write("{}\n");
    await first.until(() => first.answers.length === 1 && second.answers.length === 1);
    await expect(askRelay({ do: "ping" }, { path: server.path })).rejects.toMatchObject({ code: "CONTROL_TOO_MANY" });
    first.socket.destroy();
    await sleep(100);
    expect(await askRelay({ do: "ping" }, { path: server.path })).toBeDefined();
  });

  test("a reader that does not read is cut off; others are answered meanwhile", async () => {
    const big = "x".repeat(1 << 20);
    await using server = await control({ answer: async () => big, limits: { patienceMs: 300 } });
    using raw = new Raw(server.path);
    raw.socket.pause();
    raw.socket.write("{}\n".repeat(50));
    await sleep(100);
    expect(await askRelay({ do: "ping" }, { path: server.path })).toBe(big);
    await sleep(600);
    raw.socket.resume();
    await raw.until(() => raw.closed);
    expect(raw.text.length).toBeLessThan(50 << 20);
  });

  test("a connection on which nothing is asked ends", async () => {
    await using server = await control({ limits: { idleMs: 100 } });
    using raw = new Raw(server.path);
    await raw.until(() => raw.closed);
    expect(raw.text).toBe("");
  });

  test("an answer of several lines; who goes away ends the work", async () => {
    let ended = false;
    const answer: Answering = async (_question, _asker, say, signal) => {
      for (let i = 0; !signal.aborted && i < 1000; i++) {
        say(i);
        await sleep(10, undefined, { signal }).catch(() => undefined);
      }
      ended = true;
      return "end";
    };
    await using server = await control({ answer });
    const ending = new AbortController();
    const seen: unknown[] = [];
    const more = (line: unknown): void => {
      seen.push(line);
      if (seen.length === 5) ending.abort();
    };
    await expect(askRelay({ do: "ping" }, { path: server.path, more, signal: ending.signal })).rejects.toThrow(
      /abort/i,
    );
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    for (let i = 0; i < 100 && !ended; i++) await sleep(10);
    expect(ended).toBe(true);
  });
});

describe("its place", () => {
  test("what a killed relay left is taken away; a living one's is not", async () => {
    const path = join(folder, "stale", "control.sock");
    const script = `require("fs").mkdirSync(${JSON.stringify(join(folder, "stale"))}); require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    await run(process.execPath, ["-e", script]).catch(() => undefined);
    expect(statSync(path).isSocket()).toBe(true);
    const server = await startControl({ path, group: undefined, answer: echo, log });
    await expect(startControl({ path, group: undefined, answer: echo, log })).rejects.toMatchObject({ code: "RELAY_SOCKET_TAKEN" }); // biome-ignore format: one row
    expect(await askRelay({ do: "ping" }, { path })).toBeDefined();
    await server.close();
  });

  test("a file that is there is left alone", async () => {
    const path = join(folder, "file");
    writeFileSync(path, "mine");
    await expect(startControl({ path, group: undefined, answer: echo, log })).rejects.toMatchObject({ code: "RELAY_SOCKET_FAILED" }); // biome-ignore format: one row
    expect(statSync(path).size).toBe(4);
  });

  test("where nobody listens, that is said", async () => {
    await expect(askRelay({ do: "ping" }, { path: join(folder, "none") })).rejects.toMatchObject({ code: "RELAY_NOT_RUNNING" }); // biome-ignore format: one row
  });
});
