// The agent's end of the join-holder (native/src/relay/joins/holder.h). Enters: a set of memberships. Leaves: it, told to that process, which is
// started when there is none. It is in a session of its own and outlives the agent; its socket's name holds the protocol's version.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import { TaplineError } from "#domain/errors.ts";
import { joinsProgram } from "#native/relay-worker.ts";
import type { Joined, Membership, MembershipSettings } from "./memberships.ts";

const startMs = 3000;
const answerMs = 10_000;

export type Held = Pick<Joined, "held" | "failed">;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const lineOf = ({ ifindex, group, source }: Membership): string =>
  `${ifindex} ${hex(group)} ${source === undefined ? "*" : hex(source)}`;

export class JoinHolder {
  readonly #settings: MembershipSettings;
  readonly #path: string;

  constructor(settings: MembershipSettings) {
    this.#settings = settings;
    this.#path = join(settings.folder, "joins-1.sock");
  }

  async runs(): Promise<boolean> {
    const socket = await this.#connect();
    socket?.destroy();
    return socket !== undefined;
  }

  async want(wanted: readonly Membership[]): Promise<Held> {
    const lines = new Map(wanted.map((one) => [lineOf(one), one]));
    const socket = (await this.#connect()) ?? (await this.#start());
    const answer = await this.#ask(
      socket,
      `want ${lines.size}\n${[...lines.keys()].map((line) => `${line}\n`).join("")}`,
    );
    const failed = answer.lines.flatMap((line) => {
      const [, which = "", error] = /^failed (.*) (\d+)$/.exec(line) ?? [];
      const membership = lines.get(which);
      return membership ? [{ membership, detail: getSystemErrorName(-Number(error)) }] : [];
    });
    return { held: answer.held, failed };
  }

  /** It hears that somebody is there. Tells how many it holds; undefined: there is no holder. */
  async ping(): Promise<number | undefined> {
    const socket = await this.#connect();
    return socket && (await this.#ask(socket, "ping\n")).held;
  }

  /** It leaves every group and ends; nothing when there is no holder. */
  async release(): Promise<void> {
    const socket = await this.#connect();
    if (socket) await this.#ask(socket, "release\n");
  }

  /** Undefined: nobody listens. */
  async #connect(): Promise<Socket | undefined> {
    const socket = connect(this.#path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (["ENOENT", "ECONNREFUSED"].includes(code)) return undefined;
      throw new TaplineError("RELAY_JOINS_FAILED", { detail: code }, { cause: error });
    }
  }

  async #start(): Promise<Socket> {
    const { orphanAfterMs, log } = this.#settings;
    const args = ["--socket", this.#path, "--orphan-after-ms", String(orphanAfterMs)];
    const child = spawn(joinsProgram, args, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    let problem = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      problem = (problem + text).slice(-500);
    });
    child.on("error", (error) => {
      problem = error.message;
    });
    child.unref();
    for (let waited = 0; waited < startMs; waited += 20) {
      const socket = await this.#connect();
      if (socket) {
        log.info("started the join-holder", { pid: child.pid ?? null });
        child.stderr.destroy();
        return socket;
      }
      await sleep(20);
    }
    throw new TaplineError("RELAY_JOINS_FAILED", { detail: problem.trim() || "it does not answer" });
  }

  /** One question on a connection of its own. */
  async #ask(socket: Socket, question: string): Promise<{ held: number; lines: string[] }> {
    socket.setTimeout(answerMs, () => socket.destroy(new Error("it does not answer")));
    socket.setEncoding("utf8").write(question);
    let text = "";
    try {
      for await (const chunk of socket) {
        text += chunk as string;
        const end = /^end (\d+)\n/m.exec(text);
        if (end) return { held: Number(end[1]), lines: text.slice(0, end.index).split("\n") };
      }
      throw new Error("it ended in the middle of its answer");
    } catch (error) {
      throw new TaplineError("RELAY_JOINS_FAILED", { detail: (error as Error).message }, { cause: error });
    } finally {
      socket.destroy();
    }
  }
}
