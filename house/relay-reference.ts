// The relay's reference pages. Enters: the schemas of domain/. Leaves: their texts, as house/generate.ts writes them.
import { type Field, fieldSchema, fieldsOf } from "#domain/config-fields.ts";
import { controlMeanings, controlQuestion, mostLineBytes, tracedPacket } from "#domain/relay-control.ts";
import { relayConfig } from "#domain/relay-config.ts";
import { planNotice, relayPlan } from "#domain/relay-plan.ts";
import { relayReport, reportedRules, ruleDetail } from "#domain/relay-report.ts";
import { mostRules, relayRule } from "#domain/relay-rule.ts";
import { fieldsOfMessage } from "./message-fields.ts";

export const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\{(\w+)\}/g, "*$1*");
const written = (from: string): string => `<!-- Generated from ${from} by \`make generate\`. Do not edit. -->\n`;

const given = (field: Field): string =>
  field.default === "absent" || field.default === "required" ? field.default : `\`${field.default}\``;
export const configTable = (fields: readonly Field[]): string =>
  `| key | value | default | reload | meaning |\n|---|---|---|---|---|\n${fields
    .map((field) => `| \`${field.path}\` | ${cell(field.form)} | ${given(field)} | ${field.live ? "SIGHUP" : "restart"} | ${cell(field.meaning)} |`) // biome-ignore format: one row
    .join("\n")}`;
export const fieldTable = (schema: Parameters<typeof fieldsOfMessage>[0]): string =>
  `| field | form | meaning |\n|---|---|---|\n${fieldsOfMessage(schema)
    .map(({ path, form, meaning }) => `| \`${path}\` | ${cell(form)} | ${cell(meaning)} |`)
    .join("\n")}`;
export const keyTable = (fields: readonly Field[]): string =>
  `| key | value | default | meaning |\n|---|---|---|---|\n${fields
    .map((field) => `| \`${field.path}\` | ${cell(field.form)} | ${given(field)} | ${cell(field.meaning)} |`)
    .join("\n")}`;

const configPage = `${written("domain/relay-config.ts")}# The relay's configuration

\`tapline relay --config relay.yaml\`, in YAML 1.2; a commented sample is [deploy/relay.yaml](../../deploy/relay.yaml).
Its rules are not in it: see [relay-rules.md](relay-rules.md). A key that is not in this table is refused. Durations have a unit: \`500ms\`, \`2s\`, \`5m\`, \`1h\`, \`7d\`.
*Reload* says what a change needs: SIGHUP, without losing a packet, or a restart, in which what is carried in the kernel goes on.

${configTable(fieldsOf(fieldSchema(relayConfig)))}
`;

const rulesPage = `${written("domain/relay-rule.ts")}# A relay's rules

A file of rules is YAML or JSON with one key, \`rules\`, a list of at most ${mostRules}. \`tapline rules load\` takes it, \`tapline rules save\` writes it,
\`tapline rules check\` says whether it is sound. What each word does to a packet is in [semantics.md](../semantics.md#the-relay).

\`\`\`yaml
rules:
  - id: feed-a
    from: {interface: eth0, group: 239.1.1.1, port: 5000, sources: [10.0.0.1]}
    to:
      - {interface: eth1, group: 239.2.2.2, port: 5001, ttl: 8}
      - {tunnel: {path: 7, to: 192.0.2.2, key: 000102030405060708090a0b0c0d0e0f}}
\`\`\`

${keyTable(fieldsOf(fieldSchema(relayRule)))}

Refused, besides what is not in this table: two rules that take the same packets (a rule without \`sources\` beside one with some is not that: the one that names the source takes its packets); an
output that is the rule's own input; a loop of rules, also through tunnels when the files of several nodes are checked together; two outputs that are the same.
`;

const reportPage = `${written("domain/relay-report.ts and domain/relay-plan.ts")}# Reports and plans of a relay

Times are ISO 8601 in UTC. Unknown fields are to be ignored: a newer relay may say more. \`?\` marks a field that may be left out, \`[]\` a list.

## The report
Once a second: NATS subject \`tapline.<fleet>.report.relay.<node>\`, \`GET /api/v1/report\`. Of the rules it has those that changed since they were last told, at most ${reportedRules}; all of them answer
\`GET /api/v1/rules\`, over NATS as a question to \`tapline.<fleet>.query.$relay.<node>\`. Counts are the engines': they outlive the relay's process while its programs are pinned.

${fieldTable(relayReport)}

## A rule with its outputs
\`GET /api/v1/rules/<id>\`, and each entry of \`tapline rules stats --json\`.

${fieldTable(ruleDetail)}

## A plan
The key of a node in the key-value bucket \`tapline-plans-<fleet>\` (its name, with \`=2E\` for a dot) tells which plan is wanted:

${fieldTable(planNotice)}

The object of the object store of the same name is the plan, as gzip JSON. Its rules are those of [relay-rules.md](relay-rules.md).

${fieldTable(relayPlan)}
`;

const questions = controlQuestion.options
  .map((option) => {
    const verb = option.shape.do.value;
    const keys = fieldsOf(fieldSchema(option)).filter(({ path }) => path !== "do");
    const shown = keys.map((key) => `\`${key.path}\`: ${cell(key.form)}${key.default === "required" ? "" : key.default === "absent" ? ", may be left out" : `, else \`${key.default}\``}${key.meaning === "" ? "" : ` (${key.meaning})`}`); // biome-ignore format: one cell
    return `| \`${verb}\` | ${shown.join("<br>")} | ${cell(controlMeanings[verb])} |`;
  })
  .join("\n");
const controlPage = `${written("domain/relay-control.ts")}# The relay's control socket

A UNIX socket (\`control.socket\`, mode 0660). Root, the relay's own user and members of \`control.group\` may ask; the kernel says who that is. One JSON object a line, each way; a line ends
with a line feed and has at most ${mostLineBytes} bytes. Questions of one connection are answered in their order. \`tapline rules\` speaks it; so does

\`\`\`console
$ echo '{"do": "stats"}' | socat - UNIX-CONNECT:/run/tapline/relay/control.sock
\`\`\`

| \`do\` | beside it | what it does |
|---|---|---|
${questions}

An answer is \`{"ok": true, "result": …}\`, or \`{"ok": false, "error": {"code", "message", "hint"}}\` with a code of [errors.md](errors.md). A line with \`"more": true\` is followed by another to the same question.
32 may be connected at once. Half a line is waited for 10 s, a question 60 s, and a reader that does not read 10 s.

## A traced packet

${fieldTable(tracedPacket)}
`;

export const relayPages: Readonly<Record<string, string>> = {
  "docs/reference/relay-config.md": configPage,
  "docs/reference/relay-rules.md": rulesPage,
  "docs/reference/relay-report.md": reportPage,
  "docs/reference/relay-control.md": controlPage,
};
