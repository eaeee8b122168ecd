// The sensor's configuration file: keys, ranges, defaults and meanings. Shaped as SensorPool's spec, so that names agree.
// `live: true` marks what a reload applies without losing a packet; everything else needs a restart.
// docs/reference/sensor-config.md is made from this.
import { z } from "zod";
import { atomic, rules } from "./cel.ts";
import {
  apiSection,
  exportSection,
  fleetName,
  live,
  logSection,
  metricsKeys,
  natsSection,
  profilingSection,
  samePorts,
  whatever,
} from "./agent-config.ts";
import { cpuList, duration, interfaceName, path, shortName } from "./config-values.ts";

const oneOf = ["name", "glob", "driver"] as const;
export const interfaceEntry = rules(
  z
    .strictObject({
      name: interfaceName.optional().describe("this interface, now or when it appears"),
      glob: interfaceName.optional().describe("every interface whose name matches: * ? [a-z]. Never loopback"),
      driver: interfaceName.optional().describe("every interface of this kernel driver, as `ethtool -i` shows it"),
      exclude: z
        .array(interfaceName.describe("a name"))
        .max(64)
        .optional()
        .meta({ ...atomic, description: "names that a glob or driver shall leave out" }),
    })
    .superRefine((entry, context) => {
      const given = oneOf.filter((key) => entry[key] !== undefined);
      const is = given.length === 0 ? "it has none" : `it has ${given.join(" and ")}`;
      if (given.length !== 1) context.addIssue({ code: "custom", message: `needs one of name, glob, driver; ${is}` });
      if (entry.exclude !== undefined && entry.name !== undefined)
        context.addIssue({
          code: "custom",
          path: ["exclude"],
          message: "belongs to a glob or a driver, not to a name",
        });
    }),
  {
    rule: "[has(self.name), has(self.glob), has(self.driver)].filter(given, given).size() == 1",
    message: "needs one of name, glob, driver: more entries for more of them",
  },
  {
    rule: "!has(self.name) || !has(self.exclude)",
    fieldPath: ".exclude",
    message: "belongs to a glob or a driver, not to a name",
  },
);

const blockSizes = Array.from({ length: 15 }, (_, power) => 4 << power);
const powerOfTwo = "must be a power of two, at least one page (4): the kernel allocates a block as 2^n pages";
export const ring = z.strictObject({
  blockKiB: rules(
    z
      .int()
      .min(4)
      .max(65_536)
      .refine((value) => (value & (value - 1)) === 0, { error: powerOfTwo }),
    { rule: `self < 4 || self > 65536 || self in [${blockSizes.join(", ")}]`, message: powerOfTwo },
  )
    .default(1024)
    .describe("size of a block of the packet ring, in KiB; a power of two"),
  blocks: z.int().min(2).max(65_536).default(64).describe("blocks of each ring; blockKiB × blocks is its memory"),
  retireMs: z
    .int()
    .min(1)
    .max(1000)
    .default(10)
    .describe("the kernel hands over a block that is not full after this many ms"),
});

export const capture = z.strictObject({
  ring: ring.prefault({}),
  threads: z.int().min(1).max(64).default(1).describe("rings, threads and flow tables of each interface"),
  filter: z
    .string()
    .max(4096)
    .default("")
    .meta({
      ...live,
      form: "pcap filter",
      description: "what to capture, in libpcap's language; empty for everything",
    }),
  promiscuous: z.boolean().default(true).describe("also take frames that are not addressed to this machine"),
  direction: z.enum(["In", "Both"]).default("In").describe("In leaves out what this machine sends"),
});

export const pinning = rules(
  z
    .strictObject({
      policy: z
        .enum(["None", "NicLocal", "Explicit"])
        .default("None")
        .describe("where capture threads run: anywhere, on the NIC's NUMA node, or on `cpus`"),
      cpus: cpuList.optional().describe("CPUs for the threads; with policy Explicit"),
      irq: z
        .enum(["Observe", "Manage"])
        .default("Observe")
        .meta({
          ...live,
          description: "only report where the NIC's interrupts go, or spread them, and restore them at the end",
        }),
    })
    .superRefine(({ policy, cpus }, context) => {
      const add = (message: string): void => context.addIssue({ code: "custom", path: ["cpus"], message });
      if (policy === "Explicit" && cpus === undefined) add('is needed with policy Explicit, as "2-5,8"');
      if (policy !== "Explicit" && cpus !== undefined) add(`has no effect with policy ${policy}: set policy Explicit`);
    }),
  {
    rule: "self.policy != 'Explicit' || has(self.cpus)",
    fieldPath: ".cpus",
    message: 'is needed with policy Explicit, as "2-5,8"',
  },
  {
    rule: "self.policy == 'Explicit' || !has(self.cpus)",
    fieldPath: ".cpus",
    message: "has no effect without policy Explicit: set it, or leave cpus out",
    messageExpression: "'has no effect with policy ' + self.policy + ': set policy Explicit'",
  },
);

/** Here they become nanoseconds; in SensorPool they stay text. */
export const analysisTimes = {
  settle: { least: "10ms", most: "10m", usual: "2s", meaning: "a number unseen for this long is lost" },
  idleTimeout: { least: "1s", most: "1d", usual: "60s", meaning: "a flow unseen for this long has ended" },
} as const;
const time = ({ least, most, usual, meaning }: (typeof analysisTimes)[keyof typeof analysisTimes]) =>
  duration(least, most).prefault(usual).describe(meaning);
export const maxFlows = z
  .int()
  .min(1)
  .max(2 ** 28)
  .default(1_000_000)
  .describe("flows held at once, at most");
const analysis = z
  .strictObject({ settle: time(analysisTimes.settle), idleTimeout: time(analysisTimes.idleTimeout), maxFlows })
  .refine(({ settle, idleTimeout }) => idleTimeout >= settle, {
    path: ["idleTimeout"],
    error: "must not be shorter than settle: a flow would end before its gaps are known",
  });

export const retention = z.strictObject({
  days: z.number().positive().max(3650).default(7).describe("flows and gaps older than this are deleted"),
  MiB: z
    .int()
    .min(16)
    .max(2 ** 24)
    .default(4096)
    .describe("when the database is larger, the oldest are deleted"),
});

export const memoryMiB = z
  .int()
  .min(64)
  .max(2 ** 22)
  .default(512)
  .describe("memory of the whole process; above it the sensor degrades step by step, and says so");

const nats = natsSection("sensor", {
  fleet: fleetName,
  pool: shortName.default("default").describe("the group of sensors that this one belongs to"),
  buffer: z
    .strictObject({
      findings: z.int().min(1).max(10_000_000).default(100_000).describe("findings kept while NATS is away, at most"),
      MiB: z.int().min(1).max(4096).default(16).describe("their memory, at most; the oldest go first, and are counted"),
    })
    .prefault({}),
});

interface Memory {
  capture?: { ring?: { blockKiB?: unknown; blocks?: unknown }; threads?: unknown };
  budget?: { memoryMiB?: unknown };
}
function ringsFit({ capture: wanted, budget }: Memory, context: z.RefinementCtx): void {
  const { blockKiB, blocks } = wanted?.ring ?? {};
  const ringMiB = (Number(blockKiB) * Number(blocks)) / 1024;
  const all = ringMiB * Number(wanted?.threads);
  if (!(all >= Number(budget?.memoryMiB))) return; // also when one of them is no number
  const message = `is ${ringMiB} MiB for each of ${String(wanted?.threads)} threads, which leaves nothing of budget.memoryMiB ${String(budget?.memoryMiB)}`;
  context.addIssue({ code: "custom", path: ["capture", "ring"], message });
}

function sameInterface({ interfaces }: { interfaces?: unknown }, context: z.RefinementCtx): void {
  const seen = new Set<unknown>();
  for (const [i, entry] of (Array.isArray(interfaces) ? interfaces : []).entries()) {
    const name: unknown = (entry as { name?: unknown } | null)?.name;
    if (typeof name !== "string") continue;
    if (seen.has(name))
      context.addIssue({
        code: "custom",
        path: ["interfaces", i, "name"],
        message: `is ${name} a second time`,
      });
    seen.add(name);
  }
}

export const sensorConfig = z
  .strictObject({
    name: z.string().min(1).max(253).optional().describe("this node's name in reports; absent: the host's name"),
    interfaces: z
      .array(interfaceEntry)
      .min(1)
      .max(64)
      .meta({ ...live, description: "where to capture: entries with one of name, glob, driver" }),
    capture: capture.prefault({}),
    pinning: pinning.prefault({}),
    analysis: analysis.prefault({}).meta(live),
    store: z
      .strictObject({
        path: path.default("/var/lib/tapline/sensor.db").describe("the SQLite database; made when it is not there"),
        retention: retention.prefault({}).meta(live),
      })
      .prefault({}),
    budget: z.strictObject({ memoryMiB }).prefault({}).meta(live),
    nats: nats.optional().describe("reports, findings and queries over NATS; absent: none"),
    api: apiSection(3001).prefault({}),
    metrics: z.strictObject(metricsKeys(9464)).prefault({}),
    profiling: profilingSection,
    log: logSection.prefault({}).meta(live),
    export: exportSection.prefault({}),
  })
  .superRefine(samePorts, whatever)
  .superRefine(ringsFit, whatever)
  .superRefine(sameInterface, whatever);

export type SensorConfig = z.output<typeof sensorConfig>;
