// The control socket: who may ask, lines in, lines out, everything bounded. Enters: bytes of a process of this machine. Leaves: questions, one after the
// other for each connection, and their answers.
import { chmod, chown, lstat, mkdir, unlink } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import { type ControlAnswer, mostLineBytes } from "#domain/relay-control.ts";
import { mayAsk, peerOf } from "#host/peer.ts";
import type { Peer } from "#native/engine.ts";
import type { Log } from "#process/log.ts";
import { Lines } from "./lines.ts";

export type Say = (result: unknown) => void;
/** Answers a question with its result; what it says before belongs to it, too. Throws what is told instead. */
export type Answering = (question: unknown, asker: Peer, say: Say, signal: AbortSignal) => Promise<unknown>;

export interface ControlOptions {
  readonly path: string;
  /** may ask, beside root and our own user */
  readonly group: number | undefined;
  readonly answer: Answering;
  readonly log: Log;
  readonly limits?: Partial<ControlLimits>;
}
export interface ControlLimits {
  readonly connections: number;
  /** a line that does not end, and a client that does not read */
  readonly patienceMs: number;
  /** a connection on which nothing is asked */
  readonly idleMs: number;
  readonly lineBytes: number;
}
const usual: ControlLimits = { connections: 32, patienceMs: 10_000, idleMs: 60_000, lineBytes: mostLineBytes };

export interface Control {
  /** Takes no more, cuts off who still asks. */
  close(): Promise<void>;
}

export async function startControl(options: ControlOptions): Promise<Control> {
  const { path, group, log } = options;
  const limits = { ...usual, ...options.limits };
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy()); // it went away
    if (open.size >= limits.connections) {
      refuse(socket, new TaplineError("CONTROL_TOO_MANY", { most: limits.connections }));
      return;
    }
    const peer = peerOf(socket);
    if (!peer || !mayAsk(peer, process.getuid?.() ?? -1, group)) {
      const { uid = "?", pid = "?" } = peer ?? {};
      log.warning("refused to be asked", { uid, pid });
      refuse(socket, new TaplineError("CONTROL_REFUSED", { uid, pid }));
      return;
    }
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    void new Conversation(socket, peer, options.answer, limits, log).run();
  });
  try {
    await makeFolder(dirname(path), group);
    await makeRoom(path);
    await listen(server, path);
    // Made with 0700 by the process's umask: nobody came in before.
    if (group !== undefined) await chown(path, process.getuid?.() ?? -1, group);
    await chmod(path, 0o660);
  } catch (cause) {
    if (cause instanceof TaplineError) throw cause;
    throw new TaplineError("RELAY_SOCKET_FAILED", { path, detail: (cause as Error).message }, { cause });
  }
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

/** One that is there already stays as it is. */
async function makeFolder(path: string, group: number | undefined): Promise<void> {
  if ((await mkdir(path, { recursive: true })) === undefined) return;
  await chmod(path, 0o750); // the process's umask takes more
  if (group !== undefined) await chown(path, process.getuid?.() ?? -1, group);
}

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });

/** A socket that a killed relay left is taken away; one that answers is another relay's. */
async function makeRoom(path: string): Promise<void> {
  const outcome = await new Promise<string>((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve("answers");
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  // A plain file refuses connections, too, and is not ours to take away.
  const other = outcome === "ECONNREFUSED" && !(await lstat(path)).isSocket();
  if (other) throw new Error("something else is there");
  if (outcome === "answers" || outcome === "EAGAIN") throw new TaplineError("RELAY_SOCKET_TAKEN", { path });
  if (outcome === "ECONNREFUSED") await unlink(path);
  else if (outcome !== "ENOENT") throw new Error(outcome);
}

const failure = (error: TaplineError): ControlAnswer => ({
  ok: false,
  error: { code: error.code, message: error.message, hint: error.hint },
});

const refuse = (socket: Socket, error: TaplineError): void =>
  void socket.end(`${JSON.stringify(failure(error))}\n`, () => socket.destroy());

class Conversation {
  readonly #socket: Socket;
  readonly #peer: Peer;
  readonly #answer: Answering;
  readonly #limits: ControlLimits;
  readonly #log: Log;
  readonly #gone = new AbortController();

  constructor(socket: Socket, peer: Peer, answer: Answering, limits: ControlLimits, log: Log) {
    this.#socket = socket;
    this.#peer = peer;
    this.#answer = answer;
    this.#limits = limits;
    this.#log = log;
    socket.once("close", () => this.#gone.abort());
  }

  /** What comes while a question is answered stays in the kernel. */
  async run(): Promise<void> {
    const lines = new Lines(this.#limits.lineBytes);
    const timer = setTimeout(() => this.#late(lines), this.#limits.idleMs);
    const again = (): void => {
      const half = lines.waiting > 0;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#late(lines), half ? this.#limits.patienceMs : this.#limits.idleMs);
    };
    this.#timer = timer;
    try {
      again();
      // Left open when a line is refused: it is told why.
      for await (const part of this.#socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        const had = lines.waiting;
        for (const line of lines.take(part)) {
          clearTimeout(this.#timer);
          await this.#reply(line);
        }
        // Half a line has one time-out, however slowly it goes on.
        if (had === 0 || lines.waiting === 0) again();
      }
    } catch (error) {
      if (error instanceof TaplineError) refuse(this.#socket, error);
      else this.#socket.destroy(); // it went away
    } finally {
      clearTimeout(this.#timer);
      if (!this.#socket.writableEnded) this.#socket.end();
    }
  }
  #timer: NodeJS.Timeout | undefined;

  #late(lines: Lines): void {
    if (lines.waiting === 0) this.#socket.destroy();
    else refuse(this.#socket, new TaplineError("CONTROL_INCOMPLETE", { seconds: this.#limits.patienceMs / 1000 }));
  }

  async #reply(line: Buffer): Promise<void> {
    try {
      const say: Say = (result) => this.#write({ ok: true, more: true, result });
      const result = await this.#answer(parse(line), this.#peer, say, this.#gone.signal);
      this.#write({ ok: true, result });
    } catch (cause) {
      if (this.#gone.signal.aborted) return;
      if (!(cause instanceof TaplineError)) this.#log.error("failed to answer", { error: cause });
      this.#write(failure(cause instanceof TaplineError ? cause : new TaplineError("API_FAILED", { detail: (cause as Error).message }))); // biome-ignore format: one answer
    }
    await this.#drained();
  }

  #write(answer: ControlAnswer): void {
    if (!this.#gone.signal.aborted) this.#socket.write(`${JSON.stringify(answer)}\n`);
  }

  async #drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.#gone.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => this.#socket.destroy(), this.#limits.patienceMs);
      const done = (): void => {
        clearTimeout(late);
        resolve();
      };
      this.#socket.once("drain", done);
      this.#socket.once("close", done);
    });
  }
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch (cause) {
    throw new TaplineError("CONTROL_BAD_QUESTION", { detail: "it is not JSON" }, { cause });
  }
}
