// What carries packets, as the relay sees it: the kernel's engines and the workers behind one face. Everything that needs the native engine is behind it.
import type { EngineRow, WorkerRow } from "#domain/relay-report.ts";
import type { RelayFigures, RelayPlan, RelayProbe, RelayTrace } from "#native/relay.ts";

export type WorkerView = Omit<WorkerRow, "interface"> & { readonly ifindex: number };

export interface Engines {
  /** one row for each engine there is */
  states(): readonly EngineRow[];
  /** forwarding goes on without this process; else why not */
  readonly pinned: { readonly ok: boolean; readonly why: string };
  /** programs of an earlier process were found, and with them its numbering of tunnels */
  readonly adopted: boolean;
  /** words for `version` */
  readonly programs: string;
  /** Undefined when the interface is gone. */
  probe(ifindex: number): RelayProbe | undefined;
  /** All rules there are, of every engine. All or nothing; throws when it cannot be. */
  apply(plan: RelayPlan): void;
  heartbeat(): void;
  figures(): RelayFigures;
  trace(rule: string, packets: number): void;
  takeTraces(): readonly RelayTrace[];
  workers(): readonly WorkerView[];
  /** Traffic goes on, where it can. */
  close(): Promise<void> | void;
  /** In place of close: nothing is carried any more, and nothing is left behind. */
  uninstall(): Promise<void>;
}
