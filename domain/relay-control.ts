// What is said over the relay's control socket: one JSON object a line, each way. Questions are answered in their order; a trace answers with several lines.
// docs/reference/relay-control.md is made from this.
import { z } from "zod";
import { facilities, severities } from "./severity.ts";

export const mostTraced = 10_000;

const rules = z.array(z.unknown()).describe("as in a file of rules");
/** Of one rule; the rule as a whole is checked when it is taken. */
const asked = {
  ping: z.strictObject({ do: z.literal("ping") }),
  version: z.strictObject({ do: z.literal("version") }),
  list: z.strictObject({ do: z.literal("list") }),
  stats: z.strictObject({ do: z.literal("stats"), rule: z.string().max(96).optional() }),
  add: z.strictObject({ do: z.literal("add"), rules }),
  remove: z.strictObject({ do: z.literal("remove"), rules: z.array(z.string().max(96)).min(1) }),
  load: z.strictObject({ do: z.literal("load"), rules, replace: z.boolean().default(false) }),
  workers: z.strictObject({ do: z.literal("workers") }),
  config: z.strictObject({ do: z.literal("config") }),
  "log-level": z.strictObject({
    do: z.literal("log-level"),
    level: z.enum(severities).optional().describe("absent: only tells"),
    facility: z.enum(facilities).optional().describe("absent: all"),
  }),
  trace: z.strictObject({
    do: z.literal("trace"),
    rule: z.string().max(96),
    packets: z.int().min(1).max(mostTraced).default(10),
    seconds: z.number().positive().max(3600).default(10).describe("ends it when fewer packets come"),
  }),
} as const;

export type ControlVerb = keyof typeof asked;
export const controlVerbs = Object.keys(asked) as ControlVerb[];
export const controlMeanings: Readonly<Record<ControlVerb, string>> = {
  ping: "nothing, as soon as it can",
  version: "which Tapline answers, and which programs run in the kernel",
  list: "every rule with every field, keys of tunnels among them",
  stats: "each rule and output with its counters; of one rule, when it is named",
  add: "rules are added, all or none",
  remove: "rules are removed by id, all or none",
  load: "rules are added, replacing those of the same id; with `replace` all others go. All or nothing",
  workers: "the processes that carry packets in user space",
  config: "the configuration, and where it came from",
  "log-level": "what is logged, and of which part; until the next start",
  trace: "the next packets of a rule with the verdict of each: a line each, then the end",
};

export const controlQuestion = z.discriminatedUnion(
  "do",
  Object.values(asked) as [
    (typeof asked)["ping"],
    (typeof asked)["version"],
    (typeof asked)["list"],
    (typeof asked)["stats"],
    (typeof asked)["add"],
    (typeof asked)["remove"],
    (typeof asked)["load"],
    (typeof asked)["workers"],
    (typeof asked)["config"],
    (typeof asked)["log-level"],
    (typeof asked)["trace"],
  ],
);
export type ControlQuestion = z.output<typeof controlQuestion>;
/** As it is written. */
export type ControlRequest = z.input<typeof controlQuestion>;

export const tracedPacket = z.object({
  time: z.string(),
  rule: z.string(),
  source: z.string(),
  length: z.int(),
  ttl: z.int(),
  verdict: z.string().describe("relayed, partial, dropped, or refused by this reason"),
  outputs: z.array(z.object({ id: z.string(), verdict: z.string().describe("sent, or dropped by this reason") })),
});
export type TracedPacket = z.output<typeof tracedPacket>;

/** Either a result or an error; `more`: another line belongs to the same question. */
export const controlAnswer = z.object({
  ok: z.boolean(),
  more: z.boolean().optional(),
  result: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).optional(),
});
export type ControlAnswer = z.output<typeof controlAnswer>;

/** One line; ten thousand rules take some four MiB. */
export const mostLineBytes = 16 * 2 ** 20;
