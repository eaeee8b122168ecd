// tapline tune: what an interface should be like for a capture; shown, applied, taken back.
import { applyChanges, controls, restoreChanges, type Outcome } from "#host/tune-apply.ts";
import { tuneFacts } from "#host/tune-facts.ts";
import { tunePlan, type TuneItem, type TunePlan } from "#host/tune.ts";
import { settingWords } from "#host/ethtool-values.ts";
import { readEthtool } from "#host/ethtool.ts";
import { UsageError } from "./arguments.ts";
import { paragraph, styled, table, type Cell, type Column } from "./table.ts";

export interface TuneArguments {
  readonly apply?: boolean;
  readonly restore?: boolean;
  readonly state?: string;
  readonly json?: boolean;
}

const left = (title: string): Column => ({ title, align: "left" });
const marks: Readonly<Record<TuneItem["state"], Cell>> = {
  "as wanted": { text: "✓", mood: "good" },
  "to change": { text: "!", mood: "bad" },
  "not applicable": { text: "–", mood: "quiet" },
};

const reasonsOf = (items: readonly TuneItem[]): string[] =>
  items.flatMap(({ what, reason, byHand }) => [
    paragraph(`${styled(what, "strong")}: ${reason}`),
    ...byHand.slice(0, 4).map((line) => `    ${styled(line, "quiet")}`),
    ...(byHand.length > 4
      ? [`    ${styled(`… and ${byHand.length - 4} more of them (--json lists all)`, "quiet")}`]
      : []),
  ]);

function planText({ interface: name, driver, items, warnings }: TunePlan): string {
  const of = (state: TuneItem["state"]): TuneItem[] => items.filter((item) => item.state === state);
  const section = (title: string, found: readonly TuneItem[]): string[] =>
    found.length === 0 ? [] : ["", title, ...reasonsOf(found)];
  return [
    `${styled(name, "strong")}, driver ${driver}`,
    "",
    table(
      [left(""), left("setting"), left("now"), left("wanted")],
      items.map(({ what, now, wanted, state }) => [marks[state], what, now, wanted]),
    ),
    ...section("To change, and why; the same by hand below each:", of("to change")),
    ...section("Does not apply here:", of("not applicable")),
    ...(warnings.length === 0
      ? []
      : ["", ...warnings.map((text) => paragraph(`${styled("warning:", "bad")} ${text}`))]),
    "",
  ].join("\n");
}

const results: Readonly<Record<Outcome["result"], Cell>> = {
  set: { text: "✓ set", mood: "good" },
  restored: { text: "✓ restored", mood: "good" },
  "as before": { text: "– was already so", mood: "quiet" },
  "changed since": { text: "! left: changed since by somebody else", mood: "bad" },
  failed: { text: "✗ failed", mood: "bad" },
};

const shown = (value: Outcome["after"]): string =>
  value === undefined ? "–" : value === true ? "on" : value === false ? "off" : String(value);

function outcomesText(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ key, before, after, result }) => [
    settingWords(key),
    shown(before),
    shown(after),
    results[result],
  ]);
  const failures = outcomes.flatMap(({ key, why }) =>
    why === undefined ? [] : [paragraph(`${settingWords(key)}: ${why}`)],
  );
  return [table([left("setting"), left("from"), left("to"), left("result")], rows), ...failures, ""].join("\n");
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const printJson = (value: unknown): void => print(JSON.stringify(value, undefined, 2));

/** 0: all as wanted, or only shown. 1: something could not be done. */
export function tune(name: string, { apply, restore, state, json }: TuneArguments): number {
  if (apply === true && restore === true) throw new UsageError("--apply and --restore are opposites: name one");
  readEthtool(name); // there is no path to a file of an interface that does not exist
  const path = state ?? `/var/lib/tapline/tune/${name}.json`;
  if (restore === true) {
    const outcomes = restoreChanges(name, path, controls(name));
    if (json === true) printJson({ interface: name, state: path, outcomes });
    else if (outcomes.length === 0)
      print(`Nothing to restore: ${path} is not there, so tapline has changed nothing on ${name}.`);
    else print(outcomesText(outcomes).trimEnd());
    return outcomes.some(({ result }) => result === "failed") ? 1 : 0;
  }
  const plan = tunePlan(tuneFacts(name));
  const changes = plan.items.flatMap((item) => item.changes);
  if (apply !== true) {
    if (json === true) printJson({ ...plan, applied: false });
    else {
      const next =
        changes.length === 0 ? "Nothing to change." : `Nothing was changed. To change it: tapline tune ${name} --apply`;
      print(`${planText(plan)}\n${next}`);
    }
    return 0;
  }
  if (json !== true) print(planText(plan));
  const outcomes = applyChanges(name, changes, path, controls(name));
  if (json === true) printJson({ ...plan, applied: true, state: path, outcomes });
  else if (outcomes.length === 0) print("Nothing to change.");
  else {
    const kept = `\nThe values before are in ${path}. To take it back: tapline tune ${name} --restore`;
    print(outcomesText(outcomes).trimEnd() + (outcomes.some(({ result }) => result === "set") ? `\n${kept}` : ""));
  }
  return outcomes.some(({ result }) => result === "failed") ? 1 : 0;
}
