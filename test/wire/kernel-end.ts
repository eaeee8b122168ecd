// The test's end of kernel-driver.ts: the kernel's engines in a namespace, told what to do over a pipe.
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { ChildProcess } from "node:child_process";
import type {
  KernelRelayOptions,
  RelayChanges,
  RelayFigures,
  RelayPlan,
  RelayProbe,
  RelayTrace,
} from "#native/relay.ts";
import type { KernelCommand } from "./kernel-driver.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const driver = new URL("kernel-driver.ts", import.meta.url).pathname;
const bytesToText = (_: string, value: unknown): unknown =>
  value instanceof Uint8Array ? `0x${Buffer.from(value).toString("hex")}` : value;

export const usualKernel: KernelRelayOptions = { pins: null, maxRules: 2000, maxOutputs: 4000, orphanAfterMs: 60_000 };

export interface Opened {
  readonly adopted: boolean;
  readonly upgraded: boolean;
  readonly observed: boolean;
  readonly tcx: boolean;
}

export class KernelEnd implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #problems = "";
  opened: Opened = { adopted: false, upgraded: false, observed: false, tcx: false };

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (!child.stdout) throw new Error("no output");
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#problems += text;
    });
    this.#ended = once(child, "exit");
  }

  /** `start` runs a command in the relay's namespace, with pipes. */
  static async start(
    start: (command: string, ...args: string[]) => ChildProcess,
    options: Partial<KernelRelayOptions> = {},
  ): Promise<KernelEnd> {
    const end = new KernelEnd(start(node, driver));
    end.opened = await end.#tell<Opened>({ do: "open", options: { ...usualKernel, ...options } });
    return end;
  }

  async #tell<T = unknown>(command: KernelCommand): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(command, bytesToText)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`the driver ended: ${this.#problems}`);
    const answer = JSON.parse(value) as { value?: unknown; error?: { code?: string; text: string } };
    if (answer.error !== undefined) throw Object.assign(new Error(answer.error.text), { code: answer.error.code });
    return answer.value as T;
  }
  apply = (plan: RelayPlan): Promise<RelayChanges> => this.#tell<RelayChanges>({ do: "apply", plan });
  churn = (plans: readonly RelayPlan[], times: number): Promise<number> =>
    this.#tell<number>({ do: "churn", plans, times });
  probe = (ifindex: number): Promise<RelayProbe> => this.#tell<RelayProbe>({ do: "probe", ifindex });
  beat = (on: boolean): Promise<unknown> => this.#tell({ do: "beat", on });
  trace = (rule: string, packets: number): Promise<unknown> => this.#tell({ do: "trace", rule, packets });
  traces = (): Promise<RelayTrace[]> => this.#tell<RelayTrace[]>({ do: "traces" });
  figures = (): Promise<RelayFigures> => this.#tell<RelayFigures>({ do: "figures" });
  close = (): Promise<unknown> => this.#tell({ do: "close" });
  uninstall = (): Promise<unknown> => this.#tell({ do: "uninstall" });

  /** As the kernel would end it: it hears nothing. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.stdin?.end();
    await this.#ended;
  }
}
