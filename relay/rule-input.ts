// Rules as somebody wrote them → rules, or one error that lists every fault. Enters: values out of a file, a question or a plan.
// Ten thousand take a while: it gives way in between, so that others are answered.
import { setImmediate as nextTurn } from "node:timers/promises";
import { type FieldSchema, fieldSchema } from "#domain/config-fields.ts";
import { TaplineError } from "#domain/errors.ts";
import { checkRules, type NodeRules } from "#domain/relay-checks.ts";
import { mostRules, namedRule, type NamedRule, relayRule, relayRules, tooMany } from "#domain/relay-rule.ts";
import { issueLine, issueTexts } from "#process/config-problems.ts";

/** More would not be read. */
const shownProblems = 40;
const sliceMs = 8;

export function rulesInvalid(path: string, problems: readonly string[], more = 0): TaplineError {
  const all = problems.length + more;
  const shown = problems.slice(0, shownProblems).map((line) => `  ${line}`);
  if (all > shown.length) shown.push(`  … and ${all - shown.length} more`);
  const count = all === 1 ? "1 problem" : `${all} problems`;
  return new TaplineError("RELAY_RULES_INVALID", { path, count, problems: shown.join("\n") });
}

let fields: FieldSchema | undefined;

/** Each by itself. `path` names where they come from. */
export async function readRules(path: string, values: readonly unknown[]): Promise<NamedRule[]> {
  if (values.length > mostRules) throw rulesInvalid(path, [`rules: ${tooMany(values.length)}`]);
  const rules: NamedRule[] = [];
  const problems: string[] = [];
  let wrong = 0;
  let since = performance.now();
  for (const [i, value] of values.entries()) {
    const result = relayRule.safeParse(value, { reportInput: true });
    if (result.success) rules.push(namedRule(result.data));
    else if (problems.length >= shownProblems) wrong++;
    else {
      fields ??= fieldSchema(relayRules);
      for (const issue of result.error.issues)
        for (const text of issueTexts({ ...issue, path: ["rules", i, ...issue.path] }, fields))
          problems.push(issueLine(text));
    }
    if (performance.now() - since < sliceMs) continue;
    await nextTurn();
    since = performance.now();
  }
  if (problems.length > 0) throw rulesInvalid(path, problems, wrong);
  return rules;
}

/** All of them together. */
export function requireSound(path: string, nodes: readonly NodeRules[]): void {
  const problems = checkRules(nodes);
  if (problems.length > 0)
    throw rulesInvalid(
      path,
      problems.map(({ rule, text }) => (rule === "" ? text : `rule ${rule}: ${text}`)),
    );
}
