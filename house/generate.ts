// `make generate`: writes what is derived from domain/. Committed, and checked: `--check` writes nothing and names what is out of date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fieldSchema, fieldsOf } from "#domain/config-fields.ts";
import { catalogue } from "#domain/errors.ts";
import { findingBatch } from "#domain/finding.ts";
import {
  apiMetrics,
  interfaceLabels,
  operatorMetrics,
  operatorTimes,
  processMetrics,
  relayMetrics,
  runMetrics,
  sensorMetrics,
} from "#domain/metrics.ts";
import {
  blindRecord,
  cellCount,
  type cellOffsets,
  flowRecord,
  gapRecord,
  linkRecord,
  liveHeader,
  liveMagic,
  liveMark,
  livePage,
  liveVersion,
} from "#domain/records.ts";
import { operatorConfig } from "#domain/operator-config.ts";
import { sensorReport } from "#domain/report.ts";
import { sensorConfig } from "#domain/sensor-config.ts";
import {
  blindReasons,
  flowEnds,
  linkKinds,
  portStates,
  protocols,
  relayDrops,
  relayRefusals,
  undecodableReasons,
  untrackedReasons,
} from "#domain/vocabulary.ts";
import { chartFiles } from "./chart-files.ts";
import { crdPages } from "./crds.ts";
import { cell, configTable, fieldTable, relayPages } from "./relay-reference.ts";

const root = new URL("..", import.meta.url);
const checking = process.argv.includes("--check");
const write = (path: string, text: string): void => {
  const file = new URL(path, root);
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  if (checking) {
    console.log(`${path} is out of date`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
    console.log(`wrote ${path}`);
  }
};

const camel = (name: string): string => name.replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
const enumOf = (name: string, members: readonly string[], comments: Record<string, string> = {}): string =>
  `enum class ${name} : uint8_t {\n${members
    .map((m) => `  ${camel(m)},${comments[m] === undefined ? "" : `  ///< ${comments[m]}`}`)
    .join(
      "\n",
    )}\n};\ninline constexpr size_t k${name}Count = ${members.length};\ninline constexpr const char* k${name}Names[] = {${members
    .map((m) => `"${m}"`)
    .join(", ")}};\n`;

const banner = (source: string): string =>
  `// Generated from ${source} by \`make generate\`. Do not edit.\n// clang-format off\n#pragma once\n#include <cstddef>\n#include <cstdint>\n\nnamespace tapline {\n\n`;

write(
  "native/src/generated/vocabulary.h",
  `${banner("domain/vocabulary.ts")}${[
    enumOf("Protocol", protocols),
    enumOf("Undecodable", Object.keys(undecodableReasons), undecodableReasons),
    enumOf("Untracked", Object.keys(untrackedReasons), untrackedReasons),
    enumOf("FlowEnd", flowEnds),
    enumOf("LinkKind", linkKinds),
    enumOf("BlindReason", Object.keys(blindReasons), blindReasons),
    enumOf("PortState", portStates),
  ].join("\n")}\n}  // namespace tapline\n`,
);

// In C: src/bpf/ reads it, too.
const reasonsInC = (name: string, one: string, reasons: Readonly<Record<string, string>>): string => {
  const constant = (reason: string): string => `${one}_${reason.toUpperCase()}`;
  const members = Object.entries(reasons).map(([reason, meaning]) => `  ${constant(reason)},  ///< ${meaning}`);
  return `enum ${name} {\n${members.join("\n")}\n  ${one}_REASONS,\n};\n`;
};
const namesInC = (name: string, reasons: Readonly<Record<string, string>>): string =>
  `inline constexpr const char* ${name}[] = {${Object.keys(reasons)
    .map((reason) => `"${reason}"`)
    .join(", ")}};\n`;
write(
  "native/src/generated/relay_reasons.h",
  `// Generated from domain/vocabulary.ts by \`make generate\`. Do not edit.\n// clang-format off\n#pragma once\n\n${[
    reasonsInC("relay_refusal", "RELAY_REFUSED", relayRefusals),
    reasonsInC("relay_drop", "RELAY_DROPPED", relayDrops),
    `#ifdef __cplusplus\nnamespace tapline::relay {\n${namesInC("kRefusalNames", relayRefusals)}${namesInC("kDropNames", relayDrops)}}  // namespace tapline::relay\n#endif`,
  ].join("\n")}\n`,
);

type RecordCells = Parameters<typeof cellOffsets>[0];
const structOf = (name: string, cells: RecordCells): string => {
  const members = Object.entries(cells).map(([cell, kind]) => {
    if (kind === "number") return `  double ${cell};`;
    if (kind === "time") return `  int64_t ${cell};`;
    return `  uint8_t ${cell}[${kind === "bytes" ? 8 : kind[1] * 8}];`;
  });
  return `struct ${name} {\n${members.join("\n")}\n};\nstatic_assert(sizeof(${name}) == ${cellCount(cells) * 8});\n`;
};
write(
  "native/src/generated/records.h",
  `${banner("domain/records.ts")}${[
    structOf("FlowRecord", flowRecord),
    structOf("GapRecord", gapRecord),
    structOf("LinkRecord", linkRecord),
    structOf("BlindRecord", blindRecord),
    structOf("LiveHeader", liveHeader),
    structOf("LiveMark", liveMark),
    `inline constexpr char kLiveMagic[] = ${JSON.stringify(liveMagic)};\ninline constexpr double kLiveVersion = ${liveVersion};\ninline constexpr size_t kLivePage = ${livePage};\n`,
  ].join("\n")}\n}  // namespace tapline\n`,
);

write(
  "docs/reference/errors.md",
  `<!-- Generated from domain/errors.ts by \`make generate\`. Do not edit. -->
# Errors

One catalogue: the same code stands in an HTTP body, a log line and an exit text. A word in *italics* is filled in.

| code | HTTP | message | what to do |
|---|---|---|---|
${Object.entries(catalogue)
  .map(([code, { message, hint, status }]) => `| \`${code}\` | ${status} | ${cell(message)} | ${cell(hint)} |`)
  .join("\n")}
`,
);

write(
  "docs/reference/sensor-config.md",
  `<!-- Generated from domain/sensor-config.ts by \`make generate\`. Do not edit. -->
# The sensor's configuration

\`tapline sensor --config sensor.yaml\`, in YAML 1.2; a commented sample is [deploy/sensor.yaml](../../deploy/sensor.yaml).
A key that is not in this table is refused. Durations have a unit: \`500ms\`, \`2s\`, \`5m\`, \`1h\`, \`7d\`.
*Reload* says what a change needs: SIGHUP, without losing a packet, or a restart.

${configTable(fieldsOf(fieldSchema(sensorConfig)))}
`,
);

write(
  "docs/reference/operator-config.md",
  `<!-- Generated from domain/operator-config.ts by \`make generate\`. Do not edit. -->
# The operator's configuration

\`tapline operator --config operator.yaml\`, in YAML 1.2; [charts/tapline](../../charts/tapline/README.md) writes it. A key that is not in this table is refused.
Durations have a unit: \`500ms\`, \`2s\`, \`5m\`, \`1h\`, \`7d\`. *Reload* says what a change needs.

${configTable(fieldsOf(fieldSchema(operatorConfig)))}
`,
);

write(
  "docs/reference/report.md",
  `<!-- Generated from domain/report.ts and domain/finding.ts by \`make generate\`. Do not edit. -->
# Reports and findings

What a sensor tells. The counters' meaning is in [semantics.md](../semantics.md); times are ISO 8601 in UTC. Unknown fields are to be ignored:
a newer sensor may say more. \`?\` marks a field that may be left out, \`[]\` a list.

## The report
Once a second: NATS subject \`tapline.<fleet>.report.sensor.<pool>.<node>\`, \`GET /api/v1/report\`, event \`report\` of \`GET /api/v1/stream\`.
Counts are of this process, from its start, and never fall; rates and levels are of this second.

${fieldTable(sensorReport)}

## A batch of findings
When there are some: NATS subject \`tapline.<fleet>.finding.<pool>.<node>\`, kept by the JetStream stream \`TAPLINE-FINDINGS-<fleet>\`. Over
\`/api/v1/stream\` the same gaps come as event \`findings\`, a list of them without the batch around it.

${fieldTable(findingBatch)}
`,
);

interface ShownMetric {
  readonly help: string;
  readonly labels: readonly string[];
  readonly type?: string;
}
/** `otherwise`: the type of those that neither say theirs nor end in _total. */
const metricTable = (list: Readonly<Record<string, ShownMetric>>, otherwise: string): string =>
  `| name | type | labels | meaning |\n|---|---|---|---|\n${Object.entries(list)
    .map(([name, { help, labels, type = name.endsWith("_total") ? "counter" : otherwise }]) => {
      const shown = labels.map((label) => `\`${label}\``).join(", ");
      return `| \`${name}\` | ${type} | ${shown} | ${cell(help)} |`;
    })
    .join("\n")}`;

write(
  "docs/reference/metrics.md",
  `<!-- Generated from domain/metrics.ts by \`make generate\`. Do not edit. -->
# Metrics

For Prometheus. Every label has a closed list of values (\`interface\`: ${interfaceLabels} names, \`rule\`: as many as the relay's \`metrics.rules\` allows; what comes after them is \`other\`); reasons and outcomes are those of
[semantics.md](../semantics.md).

## Of a running sensor
At \`/metrics\` of its metrics port (9464). Counters start at 0 with the process.

${metricTable(sensorMetrics, "gauge")}

## Of a running relay
At \`/metrics\` of its metrics port (9465). Counters are the engines': they go on over a restart of the relay's process.

${metricTable(relayMetrics, "gauge")}

## Of a running operator
At \`/metrics\` of its metrics port. Counters start at 0 with the process. The label \`resource\` is a kind's plural, \`controller\` one of the operator's own.

${metricTable(operatorMetrics, "gauge")}
${metricTable(operatorTimes, "histogram").split("\n").slice(2).join("\n")}

## Of the process itself
On the same port.

${metricTable(processMetrics, "gauge")}

## Of a database that is served
At \`/metrics\` of \`tapline serve\`: the newest run, as gauges, because the next run begins again from nothing.

${metricTable(runMetrics, "gauge")}
${metricTable(apiMetrics, "histogram").split("\n").slice(2).join("\n")}
`,
);

for (const [path, text] of Object.entries({ ...relayPages, ...crdPages, ...chartFiles })) write(path, text);
