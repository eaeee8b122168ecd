// What the configurations of all agents have in common: NATS, REST, metrics, logs, traces. Keys, ranges, defaults and meanings.
// `live: true` marks what a reload applies without losing a packet; everything else needs a restart.
import { z } from "zod";
import { host, path, port, serverUrl, shortName } from "./config-values.ts";
import { isLoopback } from "./network.ts";
import { facilities, severities } from "./severity.ts";

export const live = { live: true };

const logins = ["credentialsFile", "userFile", "tokenFile", "nkeySeedFile"] as const;
const natsUrl = serverUrl(["nats", "tls"]);
export const fleetName = shortName.default("default").describe("the cluster's name; fleets can share a NATS");
const natsKeys = (who: string) => ({
  url: z
    .union([natsUrl, z.array(natsUrl).min(1).max(16)])
    .prefault("nats://127.0.0.1:4222")
    .transform((value) => (typeof value === "string" ? [value] : value))
    .meta({ form: "URL or list of URLs", description: "servers of one NATS cluster" }),
  credentialsFile: path.optional().describe("a .creds file: JWT and nkey seed"),
  userFile: path.optional().describe("a file that holds user:password on one line"),
  tokenFile: path.optional().describe("a file that holds the token"),
  nkeySeedFile: path.optional().describe("a file that holds the nkey seed"),
  tls: z
    .strictObject({
      caFile: path.optional().describe("certificates of the authorities to trust, PEM"),
      certFile: path.optional().describe(`this ${who}'s certificate, PEM`),
      keyFile: path.optional().describe("its key, PEM"),
    })
    .refine((tls) => (tls.certFile === undefined) === (tls.keyFile === undefined), {
      error: "needs certFile and keyFile together, or neither",
    })
    .optional()
    .describe("TLS to the servers; absent: what they ask for"),
});

type Logins = Partial<Record<(typeof logins)[number], string | undefined>>;
function oneLogin(value: Logins, context: z.RefinementCtx): void {
  const given = logins.filter((key) => value[key] !== undefined);
  for (const key of given.slice(1))
    context.addIssue({
      code: "custom",
      path: [key],
      message: `is a second way to log in beside ${given[0]}: keep one`,
    });
}

/** The section `nats`; `more`: the keys that only this process has, between the servers and the logins. */
export function natsSection<More extends z.ZodRawShape>(who: string, more: More) {
  const { url, ...access } = natsKeys(who);
  // Its keys are spread from elsewhere, so the types lose sight of the logins among them.
  return z
    .strictObject({ url, ...more, ...access })
    .superRefine((value, context) => oneLogin(value as Logins, context));
}

/** What is asked of the section by whoever connects. */
export type NatsAccess = z.output<z.ZodObject<ReturnType<typeof natsKeys>>>;

export const apiSection = (usual: number) =>
  z
    .strictObject({
      enabled: z.boolean().default(true).describe("false: no REST API"),
      host: host.default("127.0.0.1").describe("address to listen on; other than loopback needs tokenFile"),
      port: port.default(usual).describe("port of the REST API"),
      tokenFile: path.optional().describe("a file that holds the bearer token, 16 characters or more"),
    })
    .refine((value) => !value.enabled || value.tokenFile !== undefined || isLoopback(value.host), {
      path: ["tokenFile"],
      error: "is needed: api.host is not a loopback address, and others could ask",
    });

export const metricsKeys = (usual: number) => ({
  host: host.default("127.0.0.1").describe("address to listen on"),
  port: port.default(usual).describe("port of /metrics, /healthz and /readyz"),
});

export const profilingSection = z
  .strictObject({ port: port.default(6060).describe("port of /debug, on 127.0.0.1 only") })
  .optional()
  .describe("CPU profiles, heap snapshots, time per stage; absent: off");

export const logSection = z.strictObject({
  level: z.enum(severities).default("info").describe("the least urgent severity that is logged"),
  facilities: z
    .partialRecord(z.enum(facilities), z.enum(severities))
    .default({})
    .meta({ form: "facility: severity", description: `another level for one part: ${facilities.join(", ")}` }),
  format: z
    .enum(["json", "text"])
    .optional()
    .describe("absent: text when standard error is a terminal, else json, one object a line"),
});

export const exportSection = z.strictObject({
  otlp: z
    .strictObject({
      endpoint: serverUrl(["http", "https"]).describe("an OpenTelemetry collector, OTLP over HTTP"),
    })
    .optional()
    .describe("traces of start-up, queries and flushes; absent: none"),
});

/** The checks of whole configurations run, and so are written, for one that may have other faults: all are told at once. */
export const whatever = { when: ({ value }: { value: unknown }) => typeof value === "object" && value !== null };

/** All listen on one machine. */
const portOwners = ["api", "metrics", "profiling"] as const;
type Ports = { [owner in (typeof portOwners)[number]]?: { port?: unknown; enabled?: unknown } | undefined };
export function samePorts(config: Ports, context: z.RefinementCtx): void {
  const taken = new Map<unknown, string>();
  for (const owner of portOwners) {
    const { port: number, enabled } = config[owner] ?? {};
    if (typeof number !== "number" || number === 0 || enabled === false) continue;
    const other = taken.get(number);
    if (other === undefined) taken.set(number, owner);
    else context.addIssue({ code: "custom", path: [owner, "port"], message: `is ${number}, as ${other}.port` });
  }
}
