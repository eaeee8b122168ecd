// What each question of the control socket is answered with. Enters: a question, checked here. Leaves: its result, or one of the catalogue's errors.
import { fieldSchema } from "#domain/config-fields.ts";
import { TaplineError } from "#domain/errors.ts";
import { nearest } from "#domain/nearest.ts";
import { type ControlQuestion, controlQuestion, controlVerbs } from "#domain/relay-control.ts";
import { facilities } from "#domain/severity.ts";
import type { Peer } from "#native/engine.ts";
import { issueLine, issueTexts } from "#process/config-problems.ts";
import type { Log, Logs } from "#process/log.ts";
import { version } from "#process/version.ts";
import type { Beat } from "./beat.ts";
import type { Say } from "./control-server.ts";
import type { Engines } from "./engines.ts";
import type { Programme } from "./programme.ts";
import type { RuleBook } from "./rule-book.ts";
import type { Traces } from "./traces.ts";

export interface Answers {
  readonly book: RuleBook;
  readonly programme: Programme;
  readonly engines: Engines;
  readonly beat: Beat;
  readonly traces: Traces;
  readonly logs: Logs;
  readonly log: Log;
  /** as it runs, with what is secret left out */
  readonly config: () => unknown;
}

export async function answerControl(
  of: Answers,
  value: unknown,
  asker: Peer,
  say: Say,
  signal: AbortSignal,
): Promise<unknown> {
  const question = parseQuestion(value);
  const { book, beat, engines, log } = of;
  const noted = async (work: ReturnType<RuleBook["add"]>): Promise<unknown> => {
    const changed = await work;
    log.notice("changed the rules", { by: question.do, uid: asker.uid, pid: asker.pid, ...changed });
    return changed;
  };
  switch (question.do) {
    case "ping":
      return { pong: true };
    case "version":
      return { version, programs: engines.programs };
    case "list":
      return { rules: book.rules.map((rule) => ({ ...rule, ...standing(of, rule.id) })) };
    case "stats":
      return { rules: stats(of, question.rule) };
    case "add":
      return noted(book.add(question.rules));
    case "remove":
      return noted(book.remove(question.rules));
    case "load":
      return noted(book.load(question.rules, question.replace));
    case "workers":
      return { workers: beat.workers(), engines: engines.states(), pinned: engines.pinned };
    case "config":
      return of.config();
    case "log-level":
      return logLevel(of.logs, question);
    case "trace": {
      if (!book.get(question.rule)) throw book.unknown(question.rule);
      log.notice("traced a rule", { rule: question.rule, uid: asker.uid, pid: asker.pid });
      const packets = await of.traces.follow(question, say, signal);
      return { packets, report: beat.report?.time ?? null };
    }
  }
}

function parseQuestion(value: unknown): ControlQuestion {
  const bad = (detail: string): TaplineError => new TaplineError("CONTROL_BAD_QUESTION", { detail });
  const verb: unknown = (value as { do?: unknown } | null)?.do;
  const option = controlVerbs.find((name) => name === verb);
  if (option === undefined) {
    const near = typeof verb === "string" ? nearest(verb, controlVerbs) : undefined;
    const meant = near === undefined ? `it must be one of ${controlVerbs.join(", ")}` : `did you mean ${near}?`;
    throw bad(verb === undefined ? `it has no "do"; ${meant}` : `there is no ${JSON.stringify(verb).slice(0, 40)}; ${meant}`); // biome-ignore format: one choice
  }
  const result = controlQuestion.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const schema = controlQuestion.options.find((one) => one.shape.do.value === option);
  const fields = fieldSchema(schema ?? controlQuestion);
  throw bad(result.error.issues.flatMap((issue) => issueTexts(issue, fields)).map(issueLine).slice(0, 5).join("; ")); // biome-ignore format: one line
}

const standing = ({ programme }: Answers, id: string) => {
  const { state = "waiting", engine = null, why = "not programmed yet" } = programme.stands.get(id) ?? {};
  return { standing: { state, engine, why } };
};

function stats({ beat, book }: Answers, rule: string | undefined): unknown[] {
  if (rule === undefined) return beat.rows.map(({ id }) => beat.detail(id));
  const found = beat.detail(rule);
  if (found) return [found];
  throw book.unknown(rule);
}

function logLevel(logs: Logs, { level, facility }: Extract<ControlQuestion, { do: "log-level" }>): unknown {
  const now = logs.settings();
  if (level !== undefined)
    logs.set(facility === undefined ? { ...now, level, facilities: {} } : { ...now, facilities: { ...now.facilities, [facility]: level } }); // biome-ignore format: one choice
  const then = logs.settings();
  return {
    level: then.level,
    facilities: Object.fromEntries(facilities.map((name) => [name, then.facilities?.[name] ?? then.level])),
  };
}
