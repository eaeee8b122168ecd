// kubectl and the cluster's own command, as a person uses them: words in, text or JSON out. And waiting, which is most of an end-to-end test.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program to its end, whatever its end. */
export function say(
  program: string,
  args: readonly string[],
  {
    input,
    env = process.env,
    during,
  }: { input?: string; env?: NodeJS.ProcessEnv; during?: (child: ChildProcess) => void } = {},
): Promise<Said> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject).once("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.on("error", () => undefined).end(input);
    during?.(child);
  });
}

/** `npm run cluster --`, as a program. */
export const conductor = join(import.meta.dirname, "cluster/main.ts");
export const conduct = (...words: string[]): Promise<Said> => say(process.execPath, [conductor, ...words]);

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

interface KubectlOptions {
  readonly namespace?: string;
  readonly cache?: string;
}

export class Kubectl {
  readonly #program: string;
  readonly #kubeconfig: string;
  readonly #cache: string | undefined;
  readonly namespace: string;

  /** `cache`: a folder for what it remembers of a cluster that lives shortly; the next one on the same port must not meet it. */
  constructor(program: string, kubeconfig: string, { namespace = "default", cache }: KubectlOptions = {}) {
    this.#program = program;
    this.#kubeconfig = kubeconfig;
    this.namespace = namespace;
    this.#cache = cache;
  }

  in(namespace: string): Kubectl {
    return new Kubectl(this.#program, this.#kubeconfig, { namespace, ...(this.#cache && { cache: this.#cache }) });
  }

  words(args: readonly string[]): [string, string[]] {
    const cache = this.#cache === undefined ? [] : ["--cache-dir", this.#cache];
    return [this.#program, ["--kubeconfig", this.#kubeconfig, ...cache, "--namespace", this.namespace, ...args]];
  }

  /** Also when it fails: for what is to be refused. */
  try(args: readonly string[], input?: string): Promise<Said> {
    return say(...this.words(args), input === undefined ? {} : { input });
  }

  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  }

  async get<T>(...what: string[]): Promise<T> {
    return JSON.parse(await this.run("get", ...what, "-o", "json")) as T;
  }

  async apply(...manifests: Manifest[]): Promise<void> {
    const { code, stderr } = await this.tryApply(...manifests);
    if (code !== 0) throw new Error(stderr);
  }

  tryApply(...items: Manifest[]): Promise<Said> {
    return this.try(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  }
}

/** The first true answer; else the last reason why not. */
export async function eventually<T>(what: string, seconds: number, answer: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + seconds * 1000;
  let reason: unknown;
  for (;;) {
    try {
      const found = await answer();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      reason = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`, { cause: reason });
    await sleep(200);
  }
}
