// tapline rules: asks the relay of this node over its control socket. What it answers is shown as a table, or as JSON as it came.
import { randomBytes } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import type { ControlRequest, TracedPacket } from "#domain/relay-control.ts";
import type { EngineRow, RuleDetail, WorkerRow } from "#domain/relay-report.ts";
import { inputText, type NamedRule, outputText } from "#domain/relay-rule.ts";
import type { Facility, Severity } from "#domain/severity.ts";
import { askRelay } from "#relay/control-client.ts";
import { readRuleFile } from "#relay/rule-file.ts";
import { requireSound } from "#relay/rule-input.ts";
import { UsageError } from "./arguments.ts";
import { interruption } from "./interruption.ts";
import { bitRate, bytes, grouped, packetRate } from "./numbers.ts";
import { inputWords, outputWords } from "./rule-words.ts";
import { styled, table, type Cell, type Column } from "./table.ts";

export interface RulesArguments {
  readonly socket: string;
  readonly json?: boolean;
}

const text = (title: string): Column => ({ title, align: "left" });
const number = (title: string): Column => ({ title, align: "right" });
const print = (shown: string): number => {
  process.stdout.write(`${shown}\n`);
  return 0;
};
const bad = (shown: string): Cell => ({ text: shown, mood: "bad" });

/** Asks, and shows what came. */
async function asked<Result>(
  { socket, json }: RulesArguments,
  request: ControlRequest,
  show: (result: Result) => string,
): Promise<number> {
  const result = (await askRelay(request, { path: socket })) as Result;
  return print(json === true ? JSON.stringify(result, undefined, 2) : show(result));
}

export interface AddArguments extends RulesArguments {
  readonly from: string;
  readonly to: readonly string[];
  readonly id?: string;
  readonly name?: string;
  readonly engine?: string;
  readonly deliverLocal?: boolean;
  readonly limit?: number;
}

interface Changed {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  readonly rules: number;
}
const some = (count: number, what: string): string => `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;
const changedText = ({ added, changed, removed, rules }: Changed): string =>
  `${grouped(added)} added, ${grouped(changed)} changed, ${grouped(removed)} removed: ${some(rules, "rule")}`;

export function addRule(options: AddArguments): Promise<number> {
  const { from, to, id, name, engine, deliverLocal, limit } = options;
  const given = { id, name, engine, deliverLocal, limit: limit === undefined ? undefined : { pps: limit } };
  const rule = {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    from: inputWords(from),
    to: to.map(outputWords),
  };
  return asked(options, { do: "add", rules: [rule] }, changedText);
}

export const removeRules = (ids: readonly string[], options: RulesArguments): Promise<number> =>
  asked(options, { do: "remove", rules: [...ids] }, changedText);

export async function loadRules(
  path: string,
  options: RulesArguments & { readonly replace: boolean },
): Promise<number> {
  const rules = await readRuleFile(path);
  return asked(options, { do: "load", rules, replace: options.replace }, changedText);
}

interface Listed {
  readonly rules: readonly (NamedRule & {
    readonly standing: { readonly state: string; readonly engine: string | null; readonly why: string };
  })[];
}

/** With every field, so that `load --replace` brings back the same. */
export async function saveRules(path: string, { socket, json }: RulesArguments): Promise<number> {
  const { rules } = (await askRelay({ do: "list" }, { path: socket })) as Listed;
  const kept = rules.map((listed) => {
    const { standing: _, ...rule } = listed;
    return rule;
  });
  const made = `${path}.${randomBytes(4).toString("hex")}.new`;
  try {
    // Keys of tunnels are in it.
    await writeFile(made, `${JSON.stringify({ rules: kept }, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
    await rename(made, path);
  } catch (cause) {
    throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
  }
  return print(json === true ? JSON.stringify({ saved: kept.length, path }) : `${some(kept.length, "rule")} saved in ${path}`); // biome-ignore format: one choice
}

export async function checkFiles(paths: readonly string[], { json }: Pick<RulesArguments, "json">): Promise<number> {
  const nodes: { node: string; rules: NamedRule[] }[] = [];
  for (const path of paths)
    nodes.push({
      node: paths.length === 1 ? "" : basename(path).replace(/\.[^.]*$/, ""),
      rules: await readRuleFile(path),
    });
  requireSound(paths.join(", "), nodes);
  const rules = nodes.reduce((total, node) => total + node.rules.length, 0);
  const outputs = nodes.flatMap((node) => node.rules).reduce((total, rule) => total + rule.to.length, 0);
  return print(json === true ? JSON.stringify({ ok: true, rules, outputs }) : `${some(rules, "rule")} with ${some(outputs, "output")} are sound: no two take the same packets, none is in a loop`); // biome-ignore format: one choice
}

export const listRules = (options: RulesArguments): Promise<number> =>
  asked<Listed>(options, { do: "list" }, ({ rules }) => {
    if (rules.length === 0) return "There are no rules. tapline rules add --help shows how one looks.";
    const columns = [text("rule"), text("takes"), text("sends"), text("engine"), text("state"), text("why")];
    const rows = rules.map((rule): Cell[] => [
      rule.id,
      inputText(rule),
      rule.to.map((output) => outputText(rule, output)).join(" "),
      rule.standing.engine ?? "–",
      rule.standing.state === "active" ? rule.standing.state : bad(rule.standing.state),
      rule.standing.why,
    ]);
    return table(columns, rows);
  });

const counts = (of: Readonly<Record<string, number | undefined>>): Cell => {
  const shown = Object.entries(of).map(([reason, count]) => `${reason} ${grouped(count ?? 0)}`);
  return shown.length === 0 ? "0" : bad(shown.join(", "));
};

/** What its tunnel's way is too small for stands beside what was dropped for it. */
function droppedOf({ dropped, path, too_small: small }: RuleDetail["outputs"][number]): Cell {
  const cell = counts(dropped);
  if (small === null) return cell;
  const said = typeof cell === "string" ? cell : cell.text;
  return bad(`${said}; path ${path ?? 0} needs an MTU of ${small.needed}, ${small.interface} has ${small.mtu}`);
}

export const showStats = (rule: string | undefined, options: RulesArguments): Promise<number> =>
  asked<{ readonly rules: readonly RuleDetail[] }>(
    options,
    { do: "stats", ...(rule === undefined ? {} : { rule }) },
    ({ rules }) => {
      if (rules.length === 0) return "There are no rules.";
      const columns = [text("rule, outputs"), number("in"), number("out"), number("bytes"), number("packets/s"), number("bits/s"), text("refused, dropped")]; // biome-ignore format: one row
      const rows = rules.flatMap((row): Cell[][] => [
        [row.id, grouped(row.matched), grouped(row.packets_relayed), bytes(row.bytes_relayed), packetRate(row.packets_per_second), bitRate(row.bits_per_second), counts(row.refused)],
        ...row.outputs.map((output): Cell[] => [
          `  ${output.id}`, grouped(output.wanted), grouped(output.packets_relayed), bytes(output.bytes_relayed), packetRate(output.packets_per_second), bitRate(output.bits_per_second),
          output.problem === null ? droppedOf(output) : bad(output.problem),
        ]),
      ]); // biome-ignore format: two kinds of rows
      return table(columns, rows);
    },
  );

interface Workers {
  readonly workers: readonly WorkerRow[];
  readonly engines: readonly EngineRow[];
  readonly pinned: { readonly ok: boolean; readonly why: string };
}
export const showWorkers = (options: RulesArguments): Promise<number> =>
  asked<Workers>(options, { do: "workers" }, ({ workers, engines, pinned }) => {
    const what = table(
      [text("engine"), text("available"), text("why")],
      engines.map(({ engine, available, why }): Cell[] => [engine, available ? "yes" : bad("no"), why]),
    );
    const goesOn = `Without the relay's process the kernel's engines ${pinned.ok ? "go on" : `stop: ${pinned.why}`}.`;
    if (workers.length === 0) return `${what}\n${goesOn}\nNo packet is carried in user space: there are no workers.`;
    const rows = workers.map(({ interface: name, pid, state, restarts, detail }): Cell[] => [name, pid === null ? "–" : String(pid), state === "running" ? state : bad(state), grouped(restarts), detail]); // biome-ignore format: one row
    return `${what}\n${goesOn}\n\n${table([text("interface"), number("pid"), text("state"), number("restarts"), text("detail")], rows)}`;
  });

interface Levels {
  readonly level: string;
  readonly facilities: Readonly<Record<string, string>>;
}
export function logLevel(
  verb: string,
  level: string | undefined,
  options: RulesArguments & { readonly facility?: string },
): Promise<number> {
  if (verb !== "get" && verb !== "set") throw new UsageError(`log-level ${verb} is not understood; get and set are`);
  if (verb === "set" && level === undefined) throw new UsageError("log-level set needs a level");
  if (verb === "get" && level !== undefined) throw new UsageError("log-level get takes no level: set does");
  const { facility } = options;
  // The relay knows which there are, and says so.
  const wish = {
    ...(level === undefined ? {} : { level: level as Severity }),
    ...(facility === undefined ? {} : { facility: facility as Facility }),
  };
  return asked<Levels>(options, { do: "log-level", ...wish }, ({ facilities }) => {
    const shown = Object.entries(facilities).filter(([name]) => facility === undefined || name === facility);
    return table([text("facility"), text("level")], shown);
  });
}

export async function traceRule(
  rule: string,
  options: RulesArguments & { readonly packets: number; readonly seconds: number },
): Promise<number> {
  using stop = interruption();
  const ending = new AbortController();
  void stop.requested.then(() => ending.abort());
  const { socket, json, packets, seconds } = options;
  const show = ({ time, source, length, ttl, verdict, outputs }: TracedPacket): string =>
    `${time}  ${source}  ${length} bytes, TTL ${ttl}: ${verdict}${outputs.map((output) => `\n    ${output.id}: ${output.verdict}`).join("")}`;
  const more = (packet: unknown): void => void print(json === true ? JSON.stringify(packet) : show(packet as TracedPacket)); // biome-ignore format: one line
  try {
    const request = { do: "trace", rule, packets, seconds } as const;
    const result = (await askRelay(request, { path: socket, more, signal: ending.signal })) as { packets: number };
    const few = result.packets < packets ? ` in ${seconds} s` : "";
    if (json !== true) print(styled(`${some(result.packets, "packet")}${few}`, "quiet"));
    return 0;
  } catch (error) {
    if (ending.signal.aborted) return 130;
    throw error;
  }
}

export async function ping(options: RulesArguments): Promise<number> {
  const since = performance.now();
  await askRelay({ do: "ping" }, { path: options.socket });
  const ms = Math.round((performance.now() - since) * 1000) / 1000;
  return print(options.json === true ? JSON.stringify({ pong: true, ms }) : `the relay answered in ${ms} ms`);
}

export const showVersion = (options: RulesArguments): Promise<number> =>
  asked<{ version: string; programs: string }>(options, { do: "version" }, ({ version, programs }) => `tapline relay ${version}; programs in the kernel: ${programs}`); // biome-ignore format: one line

export const showConfig = (options: RulesArguments): Promise<number> =>
  asked(options, { do: "config" }, (config) => JSON.stringify(config, undefined, 2));
