// The engines that this node has: in the kernel (XDP, tc) and in user space. Enters: the configuration. Leaves: all of them behind one face; what cannot be had
// says why, and rules go elsewhere or wait.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RelayConfig } from "#domain/relay-config.ts";
import type { EngineRow } from "#domain/relay-report.ts";
import { mostRules } from "#domain/relay-rule.ts";
import type { RelayEngine } from "#domain/vocabulary.ts";
import { heldCapabilities } from "#host/capabilities.ts";
import { parseCpuList } from "#host/cpu-list.ts";
import { type KernelRelay, openKernelRelay, type RelayFigures, type RelayPlan } from "#native/relay.ts";
import { workerProgram } from "#native/relay-worker.ts";
import type { Log } from "#process/log.ts";
import type { Engines } from "./engines.ts";
import { codedError } from "./native-error.ts";
import { Workers } from "./workers.ts";

/** RELAY_LAYOUT of native/src/relay/layout.h: programs of another layout have maps of their own. */
const layout = 1;

/** Where processes that outlive this one are found again; on a file system in memory. */
export const runFolder = ({ control }: RelayConfig): string => dirname(control.socket);

const pinsOf = ({ engines, nats }: RelayConfig): string =>
  join(engines.bpffs, "tapline", nats?.fleet ?? "default", `v${layout}`);

interface Kernel {
  readonly relay: KernelRelay | undefined;
  readonly why: string;
  readonly pinned: Engines["pinned"];
}

function openKernel(config: RelayConfig, log: Log): Kernel {
  const { allow, pin, orphanAfter } = config.engines;
  const none = (why: string): Kernel => ({ relay: undefined, why, pinned: { ok: false, why } });
  if (!allow.includes("XDP") && !allow.includes("TC")) return none("engines.allow has neither XDP nor TC");
  const missing = lacking();
  if (missing !== undefined) return none(missing);
  const open = (pins: string | null): KernelRelay =>
    openKernelRelay({
      pins,
      maxRules: mostRules,
      maxOutputs: config.engines.maxOutputs,
      orphanAfterMs: orphanAfter / 1e6,
    });
  try {
    if (!pin) return { relay: open(null), why: "", pinned: { ok: false, why: "engines.pin is false" } };
    return { relay: open(pinsOf(config)), why: "", pinned: { ok: true, why: "" } };
  } catch (cause) {
    const error = codedError(cause);
    if (error.code === "RELAY_NOT_ALLOWED") return none(error.message);
    if (error.code !== "RELAY_PINS" || error.message.includes("another relay")) throw error;
    log.warning("relays without pins", { error });
    try {
      return { relay: open(null), why: "", pinned: { ok: false, why: error.message } };
    } catch (second) {
      return none(codedError(second).message);
    }
  }
}

/** The kernel would say only that it will not. */
function lacking(): string | undefined {
  const held = heldCapabilities();
  const missing = (["CAP_BPF", "CAP_NET_ADMIN"] as const).filter((name) => !held.has(name));
  return missing.length === 0 ? undefined : `relaying in the kernel needs ${missing.join(" and ")}`;
}

function workersMissing({ engines: { allow } }: RelayConfig): string | undefined {
  if (!allow.includes("AFPacket")) return "engines.allow has no AFPacket";
  if (!existsSync(workerProgram)) return `${workerProgram} is not built`;
  return heldCapabilities().has("CAP_NET_RAW") ? undefined : "relaying in user space needs CAP_NET_RAW";
}

/** A worker that is started again finds its CPU again. */
function inTurn(list: string | undefined): (ifindex: number) => number | undefined {
  const cpus = parseCpuList(list ?? "") ?? [];
  const places = new Map<number, number | undefined>();
  return (ifindex) => {
    if (!places.has(ifindex)) places.set(ifindex, cpus[places.size % cpus.length]);
    return places.get(ifindex);
  };
}

export function openEngines(config: RelayConfig, log: Log): OpenEngines {
  const kernel = openKernel(config, log);
  const missing = workersMissing(config);
  const workers =
    missing === undefined
      ? new Workers({
          folder: join(runFolder(config), "workers"),
          maxRules: mostRules,
          maxOutputs: config.engines.maxOutputs,
          orphanAfterMs: config.engines.orphanAfter / 1e6,
          cpuOf: inTurn(config.engines.workerCpus),
          log,
          now: () => performance.now(),
        })
      : undefined;
  return new OpenEngines(config, kernel, workers, missing ?? "");
}

const filtered = "attached by filters of clsact qdiscs, for this kernel has no tcx";

const nothing: RelayPlan = { rules: [], tunnelPorts: [], ownAddresses: [] };

export class OpenEngines implements Engines {
  readonly #kernel: KernelRelay | undefined;
  readonly #workers: Workers | undefined;
  readonly #states: readonly EngineRow[];
  readonly pinned: Engines["pinned"];
  /** what runs */
  #plan: RelayPlan = nothing;
  #engineOf: ReadonlyMap<string, RelayEngine> = new Map();

  constructor({ engines: { allow } }: RelayConfig, kernel: Kernel, workers: Workers | undefined, noWorkers: string) {
    this.#kernel = kernel.relay;
    this.#workers = workers;
    this.pinned = kernel.pinned;
    const inKernel = (engine: "xdp" | "tc", name: "XDP" | "TC"): EngineRow => {
      const way = engine === "tc" && kernel.relay?.tcx === false ? filtered : kernel.why;
      const why = allow.includes(name) ? way : `engines.allow has no ${name}`;
      return { engine, available: this.#kernel !== undefined && allow.includes(name), why };
    };
    this.#states = [
      inKernel("xdp", "XDP"),
      inKernel("tc", "TC"),
      { engine: "afpacket", available: workers !== undefined, why: noWorkers },
    ];
  }

  get adopted(): boolean {
    return this.#kernel?.adopted ?? false;
  }
  get programs(): string {
    if (!this.#kernel) return "none";
    const { adopted, upgraded, observed } = this.#kernel;
    const how = upgraded ? "adopted and replaced" : adopted ? "adopted" : "loaded";
    return `layout ${layout}, ${how}${observed ? "" : ", and what a device drops behind XDP is not seen"}`;
  }
  states(): readonly EngineRow[] {
    return this.#states;
  }
  probe(ifindex: number): ReturnType<Engines["probe"]> {
    return this.#kernel?.probe(ifindex);
  }

  apply(plan: RelayPlan): void {
    try {
      this.#kernel?.apply(plan);
    } catch (cause) {
      throw codedError(cause);
    }
    try {
      this.#workers?.apply(plan);
    } catch (cause) {
      // The kernel's part was taken already: back to what ran, so that it is all or nothing.
      this.#kernel?.apply(this.#plan);
      throw codedError(cause);
    }
    this.#plan = plan;
    this.#engineOf = new Map(plan.rules.map(({ id, engine }) => [id, engine]));
  }

  heartbeat(): void {
    this.#kernel?.heartbeat();
    this.#workers?.heartbeat();
  }

  figures(): RelayFigures {
    const all = [this.#kernel?.figures(), this.#workers?.figures()].filter((one) => one !== undefined);
    const [only, ...more] = all;
    if (only && more.length === 0) return only;
    return {
      ports: all.flatMap(({ ports }) => ports),
      rules: all.flatMap(({ rules }) => rules),
      outputs: all.flatMap(({ outputs }) => outputs),
      hops: all.flatMap(({ hops }) => hops),
    };
  }

  trace(rule: string, packets: number): void {
    const engine = this.#engineOf.get(rule);
    if (engine === "afpacket") this.#workers?.trace(rule, packets);
    else if (engine !== undefined) this.#kernel?.trace(rule, packets);
  }
  takeTraces(): ReturnType<Engines["takeTraces"]> {
    return [...(this.#kernel?.takeTraces() ?? []), ...(this.#workers?.takeTraces() ?? [])];
  }

  workers(): ReturnType<Engines["workers"]> {
    return this.#workers?.views() ?? [];
  }

  async close(): Promise<void> {
    this.#kernel?.close();
    await this.#workers?.close();
  }

  /** Nothing is carried any more, and nothing is left behind. */
  async uninstall(): Promise<void> {
    this.#kernel?.uninstall();
    await this.#workers?.uninstall();
  }
}
