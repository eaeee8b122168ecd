// A real kube-apiserver with its etcd and nothing else: no nodes, no controllers, no scheduler. What is written stays as it was written.
// Enters: flags. Leaves: its address and a kubeconfig on 127.0.0.1; all its files are in one temporary folder. When the test is killed both programs end, too;
// only the folder stays.
// Because nobody collects garbage or ends namespaces here, an owner's deletion leaves what it owned, and a deleted namespace stays `Terminating`.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { request } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Certificates, certificates, writeKubeconfig } from "../e2e/cluster/certificates.ts";
import { defaultKubernetes, kube, kubeNames, provide } from "../e2e/cluster/programs.ts";
import { Kubectl } from "../e2e/kubectl.ts";

export interface ApiserverOptions {
  /** a minor, as 1.36; else the newest that is pinned */
  readonly kubernetes?: string;
  /** more of the apiserver's own, as --audit-log-path=… */
  readonly flags?: readonly string[];
}

/** Building the programs takes minutes on a fresh machine; after that a start takes seconds. For beforeAll. */
export const firstStartMs = 1_500_000;

const startMs = 60_000;

export class ApiserverAlone implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "tapline-apiserver-"));
  readonly #options: ApiserverOptions;
  #etcd: ChildProcess | undefined;
  #apiserver: ChildProcess | undefined;
  #pki: Certificates | undefined;
  /** free when it was first looked for, then kept */
  #ports: readonly [server: number, etcd: number, peers: number] = [0, 0, 0];

  private constructor(options: ApiserverOptions) {
    this.#options = options;
  }

  static async start(options: ApiserverOptions = {}): Promise<ApiserverAlone> {
    const alone = new ApiserverAlone(options);
    try {
      await alone.#begin();
    } catch (error) {
      await alone[Symbol.asyncDispose]();
      throw error;
    }
    return alone;
  }

  get port(): number {
    return this.#ports[0];
  }
  get server(): string {
    return `https://127.0.0.1:${this.port}`;
  }
  /** The administrator's, with client certificates. */
  get kubeconfig(): string {
    return join(this.folder, "kubeconfig");
  }
  get kubectl(): Kubectl {
    return new Kubectl(join(this.folder, "bin", "kubectl"), this.kubeconfig, { cache: join(this.folder, "kubectl") });
  }
  /** ca.crt, admin.crt, admin.key, … */
  pem(file: string): string {
    return readFileSync(join(this.folder, "pki", file), "utf8");
  }

  /** The apiserver only: what was written stays in etcd. A watch that asks it afterwards for what was before is told 410. */
  async down(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await end(this.#apiserver, signal);
  }

  async up(): Promise<void> {
    const pki = this.#pki as Certificates;
    const [server, etcd] = this.#ports;
    this.#apiserver = this.#spawn("kube-apiserver", [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${server}`,
      // Nobody is to reach it by the Service; without nodes nobody could.
      "--advertise-address=192.0.2.1",
      "--endpoint-reconciler-type=none",
      "--service-cluster-ip-range=10.96.0.0/16",
      `--tls-cert-file=${pki.path("apiserver.crt")}`,
      `--tls-private-key-file=${pki.path("apiserver.key")}`,
      `--client-ca-file=${pki.path("ca.crt")}`,
      `--service-account-key-file=${pki.path("service-accounts.pub")}`,
      `--service-account-signing-key-file=${pki.path("service-accounts.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--authorization-mode=RBAC",
      "--allow-privileged=true",
      ...(this.#options.flags ?? []),
    ]);
    await this.#ready("kube-apiserver", this.#apiserver, () => this.#answers("/readyz"));
  }

  /** Stopped, but its sockets stay: it accepts and never answers. */
  freeze(): void {
    this.#apiserver?.kill("SIGSTOP");
  }
  thaw(): void {
    this.#apiserver?.kill("SIGCONT");
  }

  log(program: "etcd" | "kube-apiserver" = "kube-apiserver"): string {
    return readFileSync(join(this.folder, `${program}.log`), "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#apiserver, "SIGKILL");
    await end(this.#etcd, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #begin(): Promise<void> {
    const { signal } = new AbortController();
    const say = (text: string): void => void process.stderr.write(`apiserver: ${text}\n`);
    const { path } = await provide(kube(this.#options.kubernetes ?? defaultKubernetes()), say, signal);
    mkdirSync(join(this.folder, "bin"));
    for (const name of kubeNames) symlinkSync(path, join(this.folder, "bin", name));
    this.#pki = await certificates({ name: "alone", folder: this.folder, cgroup: "" }, 0, signal);
    this.#ports = await freePorts();
    writeKubeconfig(this.#pki, "admin", this.server, this.kubeconfig);

    const [, client, peers] = this.#ports;
    const of = (port: number): string => `http://127.0.0.1:${port}`;
    // Nothing of a test needs to survive a power failure.
    this.#etcd = this.#spawn("etcd", [
      `--data-dir=${join(this.folder, "etcd")}`,
      "--unsafe-no-fsync",
      "--log-level=warn",
      `--listen-client-urls=${of(client)}`,
      `--advertise-client-urls=${of(client)}`,
      `--listen-peer-urls=${of(peers)}`,
      `--initial-advertise-peer-urls=${of(peers)}`,
      `--initial-cluster=default=${of(peers)}`,
    ]);
    await this.up(); // it waits for etcd itself
  }

  /** Ends with this process, however that ends: setpriv becomes the program, and asks the kernel for it before. */
  #spawn(program: "etcd" | "kube-apiserver", args: readonly string[]): ChildProcess {
    const log = openSync(join(this.folder, `${program}.log`), "a");
    const command = ["--pdeathsig", "KILL", join(this.folder, "bin", program), ...args];
    const child = spawn("setpriv", command, { stdio: ["ignore", log, log] });
    child.once("error", () => undefined); // it has no pid then, and is told by #ready()
    closeSync(log);
    return child;
  }

  async #ready(program: "kube-apiserver", child: ChildProcess, answers: () => Promise<boolean>): Promise<void> {
    const late = performance.now() + startMs;
    while (!(await answers())) {
      if (child.pid === undefined || child.exitCode !== null || performance.now() > late) {
        const said = `${this.log("etcd")}${this.log(program)}`.split("\n").slice(-30).join("\n");
        throw new Error(`${program} did not start:\n${said}`);
      }
      await sleep(100);
    }
  }

  #answers(path: string): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request(`${this.server}${path}`, {
        ca: this.pem("ca.crt"),
        cert: this.pem("admin.crt"),
        key: this.pem("admin.key"),
        timeout: 3000,
        agent: false,
      });
      // No answer is an answer here: it is not there yet.
      asked.once("error", () => resolve(false)).once("timeout", () => asked.destroy(new Error("no answer")));
      asked.once("response", (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      asked.end();
    });
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
}

/** Looked for all at once, or one might be given out twice. */
async function freePorts(): Promise<[number, number, number]> {
  const servers = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports as [number, number, number];
}
