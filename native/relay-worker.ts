// The engine in user space, as TypeScript sees it: the files of a worker process (native/src/relay/afpacket/control.h).
import { createRequire } from "node:module";
import type { RelayFigures, RelayPlan, RelayTrace } from "./relay.ts";

export interface WorkerState {
  /** of the worker that runs now; 0: none does */
  readonly pid: number;
  /** it relays */
  readonly ready: boolean;
  /** workers that ever started with these files */
  readonly starts: number;
  /** numbers of tables: the one it should use, the one it uses, one that it could not read */
  readonly wanted: number;
  readonly applied: number;
  readonly unreadable: number;
}

/** Each throws an Error whose `code` is RELAY_WORKER_FILES or RELAY_BAD_PLAN. */
export interface WorkerFiles {
  /**
   * All rules of it, and the tunnels that come in here. All or nothing; the same again changes nothing. Returns the table's number, which the worker
   * uses when `applied` has reached it.
   */
  apply(plan: RelayPlan): number;
  state(): WorkerState;
  /** Not orphaned, from now on and for so long; 0: for ever. */
  heartbeat(orphanAfterMs: number): void;
  figures(): RelayFigures;
  /** False: it has no such rule. */
  trace(rule: string, packets: number): boolean;
  takeTraces(): RelayTrace[];
  close(): void;
}

export interface WorkerFilesOptions {
  /** is there already, and this process's own */
  readonly folder: string;
  readonly ifindex: number;
  readonly maxRules: number;
  readonly maxOutputs: number;
}

interface WorkerEngine {
  openRelayWorker(options: WorkerFilesOptions): WorkerFiles;
}

const load = (): WorkerEngine => createRequire(import.meta.url)("./build/tapline.node") as WorkerEngine;
export const openRelayWorker = (options: WorkerFilesOptions): WorkerFiles => load().openRelayWorker(options);

/** The programs that the agent starts; built beside the addon. */
export const workerProgram = new URL("build/relay_worker", import.meta.url).pathname;
export const joinsProgram = new URL("build/relay_joins", import.meta.url).pathname;
