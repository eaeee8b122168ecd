// tapline doctor: what this node can do for a capture and a relay, and the remedy of what is missing.
import type { Check } from "#host/check.ts";
import { doctor as examine } from "#host/doctor.ts";
import { tryRelay } from "#host/relay-trial.ts";
import { engine } from "#native/engine.ts";
import { paragraph, styled, table, type Cell } from "./table.ts";

export interface DoctorArguments {
  readonly store: string;
  readonly json?: boolean;
}

const marks: Readonly<Record<Check["verdict"], Cell>> = {
  ok: { text: "✓", mood: "good" },
  warning: { text: "!", mood: "bad" },
  missing: { text: "✗", mood: "bad" },
  "not applicable": { text: "–", mood: "quiet" },
};

/** What is to be done, worst first; the same remedy for several stands once. */
function remedies(checks: readonly Check[]): string[] {
  const wanting = (["missing", "warning"] as const).flatMap((verdict) =>
    checks.filter((one) => one.verdict === verdict),
  );
  const groups = Map.groupBy(wanting, ({ remedy }) => remedy ?? "");
  return [...groups].flatMap(([remedy, group]) => [
    ...group.map(({ name, why }) => paragraph(`${styled(name, "strong")}: ${why}`)),
    `    ${styled(remedy, "good")}`,
  ]);
}

function summary(checks: readonly Check[]): string {
  const count = (verdict: Check["verdict"]): number => checks.filter((one) => one.verdict === verdict).length;
  const [missing, warnings] = [count("missing"), count("warning")];
  const better = `${warnings} ${warnings === 1 ? "thing" : "things"} could be better`;
  const relay = `It can relay by: ${checks.find(({ name }) => name === "relay engines")?.found ?? "nothing"}.`;
  if (missing > 0) return `This node cannot capture: ${missing} missing, ${better}. ${relay}`;
  const capture = warnings > 0 ? `can capture; ${better}` : "can capture, and nothing could be better";
  return `This node ${capture}. ${relay}`;
}

/** 1 when something is missing without which no capture works. */
export function doctor(interfaces: readonly string[], { store, json }: DoctorArguments): number {
  const checks = examine({ probe: engine().probe(), trial: tryRelay, interfaces, store, program: process.execPath });
  const ok = checks.every(({ verdict }) => verdict !== "missing");
  if (json === true) {
    process.stdout.write(`${JSON.stringify({ ok, checks }, undefined, 2)}\n`);
  } else {
    const rows = checks.map(({ name, verdict, found }) => [marks[verdict], name, found]);
    const columns = ["", "check", "found"].map((title) => ({ title, align: "left" }) as const);
    const advice = remedies(checks);
    const lines = [
      table(columns, rows),
      ...(advice.length === 0 ? [] : ["", "What to do, and why:", ...advice]),
      "",
      summary(checks),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  }
  return ok ? 0 : 1;
}
