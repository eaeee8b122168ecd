// The relay's configuration file: keys, ranges, defaults and meanings. Its rules are not in it: they are kept in `state.path`, changed over the
// control socket, or come as a plan over NATS. `live: true` marks what a reload applies.
// docs/reference/relay-config.md is made from this.
import { z } from "zod";
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
import { cpuList, duration, path } from "./config-values.ts";
import { mostRules } from "./relay-rule.ts";

/** A UNIX socket's address holds so much, with its zero. */
const mostSocketPath = 107;

const control = z.strictObject({
  socket: path
    .refine((value) => new TextEncoder().encode(value).length <= mostSocketPath, {
      error: `must be at most ${mostSocketPath} bytes long: the kernel's addresses of sockets end there`,
    })
    .default("/run/tapline/relay/control.sock")
    .describe("where `tapline rules` asks; mode 0660, in a folder of mode 0750 that is made when it is not there"),
  group: z
    .int()
    .min(0)
    .max(2 ** 32 - 2)
    .optional()
    .describe("number of the group that may ask, beside root and this process's own user"),
});

const engines = z.strictObject({
  bpffs: path
    .default("/sys/fs/bpf")
    .describe("BPF file system that the programs are pinned in; pinned, they go on without this process"),
  pin: z.boolean().default(true).describe("false: forwarding ends with this process"),
  orphanAfter: duration("10s", "30d")
    .prefault("1h")
    .describe("rules stop when no relay process was there for this long"),
  maxOutputs: z
    .int()
    .min(1)
    .max(200_000)
    .default(20_000)
    .describe("outputs of all rules together; room is made for them at the start"),
  allow: z
    .array(z.enum(["XDP", "TC", "AFPacket"]))
    .min(1)
    .max(3)
    .default(["XDP", "TC", "AFPacket"])
    .meta({ form: "list of XDP, TC, AFPacket", description: "what may carry packets" }),
  workerCpus: cpuList
    .optional()
    .describe("CPUs for AFPacket's workers, one for each in turn; absent: where the kernel puts them"),
});

const nats = natsSection("relay", {
  fleet: fleetName,
  plan: z
    .strictObject({
      publicKeyFile: path.describe("PEM; plans must be signed by its private key (Ed25519)"),
    })
    .optional()
    .describe("rules come as a plan from the fleet, and from nowhere else; absent: over the control socket"),
});

export const relayConfig = z
  .strictObject({
    name: z.string().min(1).max(253).optional().describe("this node's name in reports; absent: the host's name"),
    state: z
      .strictObject({
        path: path
          .default("/var/lib/tapline/relay")
          .describe("folder for the rules or the last plan, and what must outlive this process"),
      })
      .prefault({}),
    control: control.prefault({}),
    engines: engines.prefault({}),
    nats: nats.optional().describe("reports, queries and plans over NATS; absent: none"),
    api: apiSection(3002).prefault({}),
    metrics: z
      .strictObject({
        ...metricsKeys(9465),
        rules: z
          .int()
          .min(0)
          .max(mostRules)
          .default(100)
          .describe("rules with series of their own; what comes after them is summed as `other`"),
      })
      .prefault({}),
    profiling: profilingSection,
    log: logSection.prefault({}).meta(live),
    export: exportSection.prefault({}),
  })
  .superRefine(samePorts, whatever);

export type RelayConfig = z.output<typeof relayConfig>;
