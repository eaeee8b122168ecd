// What is not as it should be in the figures of a second. Pure. Enters: figures now and before, and how the parts stand. Leaves: what holds, for conditions.ts.
import type { CaptureFigures, PortCounts } from "#domain/analysis.ts";
import { catalogue, type ErrorCode, type TaplineError } from "#domain/errors.ts";
import type { PinningReport } from "#domain/pinning.ts";
import type { StoreState } from "#store/writer.ts";
import type { Rung } from "#domain/vocabulary.ts";
import type { Settings } from "./budget.ts";
import type { Holding, Severity } from "#process/conditions.ts";
import type { Refused } from "./watched.ts";

export interface Standing {
  readonly now: CaptureFigures;
  readonly before: CaptureFigures | undefined;
  readonly store: StoreState;
  readonly database: string;
  readonly rung: Rung;
  readonly settings: Settings;
  readonly pinning: PinningReport;
  readonly refused: readonly Refused[];
  readonly refusal: TaplineError | undefined;
}

const known = (code: string): code is ErrorCode => Object.hasOwn(catalogue, code);

function ofPort(port: PortCounts, before: PortCounts | undefined): Holding[] {
  const path = port.interface;
  const holding: Holding[] = [];
  const add = (code: ErrorCode, severity: Severity, details: Holding["details"]): void =>
    void holding.push({ code, subject: path, severity, details: { path, ...details } });
  if (port.problem && known(port.problem.code)) add(port.problem.code, "error", { detail: port.problem.detail });
  else if (port.state === "absent") add("INTERFACE_NOT_FOUND", "error", {});
  else if (port.state === "down") add("INTERFACE_DOWN", "error", { detail: "nothing can be seen on it" });
  const dropped = port.ringDrops - (before?.ringDrops ?? 0);
  if (dropped > 0) add("CAPTURE_RING_OVERFLOW", "error", { packets: dropped });
  if (port.state === "watching" && port.ringBytes < port.ringWanted)
    add("CAPTURE_RING_SHRUNK", "warning", { bytes: port.ringBytes, wanted: port.ringWanted });
  if (port.state === "watching" && !port.ringLocked) add("CAPTURE_RING_UNLOCKED", "warning", {});
  if (port.superPackets > (before?.superPackets ?? 0)) add("CAPTURE_MERGED", "warning", {});
  // Read while packets come it may be off by those on their way; what stays while nothing comes is a fault.
  if (port.residue !== 0 && before?.residue === port.residue && before.seen === port.seen)
    add("LEDGER_RESIDUE", "error", { packets: port.residue });
  return holding;
}

export function holding(standing: Standing): Holding[] {
  const { now, before, store, database, rung, settings, pinning, refused, refusal } = standing;
  const all = now.ledger
    .filter(({ state }) => state !== "removed")
    .flatMap((port) =>
      ofPort(
        port,
        before?.ledger.find((other) => other.interface === port.interface),
      ),
    );
  // While it writes, too: what is old may not be deletable, or a result was refused.
  if (store.error)
    all.push({
      code: store.error.code,
      subject: database,
      severity: store.state === "writing" ? "warning" : "error",
      details: store.error.details,
    });
  for (const { name, code, details } of refused) all.push({ code, subject: name, severity: "error", details });
  // Each refused reload is a condition of its own: the next one may be refused for another reason.
  if (refusal)
    all.push({
      code: "CONFIG_REFUSED",
      subject: `refused reload ${refusal.details["number"]}`,
      severity: "warning",
      details: refusal.details,
    });
  if (rung !== "none")
    all.push({
      code: "SENSOR_DEGRADED",
      subject: rung,
      severity: "warning",
      details: {
        rung: rung.replaceAll("_", " "),
        detail: `at most ${settings.maxFlows} flows, idle after ${settings.idleNs / 1e9} s, ${settings.sample === 1 ? "all" : `1 in ${settings.sample}`} followed`,
      },
    });
  if (pinning.drift.length > 0)
    all.push({
      code: "PINNING_DRIFT",
      subject: "pinning",
      severity: "warning",
      details: {
        count: pinning.drift.length,
        detail:
          pinning.drift_cause ??
          pinning.drift
            .map(({ name }) => name)
            .slice(0, 3)
            .join(", "),
      },
    });
  return all;
}
