// The names things have on NATS. A name from outside (a fleet, a pool, a node) becomes one token of a subject, reversibly:
// letters, digits, "-" and "_" stand for themselves, every other byte of its UTF-8 is %XX. Node names contain dots.
import { TaplineError } from "./errors.ts";

/** Where a sensor runs. */
export interface SensorPlace {
  readonly fleet: string;
  readonly pool: string;
  readonly node: string;
}

/** The server reads a subject and its reply subject as one line of at most 4096 bytes. */
const tokenLimit = 765;
/** The stream's name is the name of a directory: at most 255 bytes with what stands before it. */
const fleetLimit = 200;

const percent = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
const plain = /^[A-Za-z0-9_-]$/;

/** Throws BUS_BAD_NAME for what cannot be a name: empty, too long, or no Unicode text. */
export function nameToken(name: string, limit = tokenLimit): string {
  const bad = (detail: string): TaplineError => new TaplineError("BUS_BAD_NAME", { name: name.slice(0, 80), detail });
  if (name === "") throw bad("it is empty");
  if (!name.isWellFormed()) throw bad("it is not Unicode text");
  let token = "";
  for (const character of name)
    token += plain.test(character) ? character : Array.from(new TextEncoder().encode(character), percent).join("");
  if (token.length > limit) throw bad(`it takes ${token.length} characters, and ${limit} is the limit`);
  return token;
}

/** Undefined for a token that nameToken does not write: one name has one token. */
export function tokenName(token: string): string | undefined {
  if (!/^(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+$/.test(token)) return undefined;
  try {
    const name = decodeURIComponent(token);
    return nameToken(name) === token ? name : undefined;
  } catch (error) {
    if (error instanceof URIError || error instanceof TaplineError) return undefined;
    throw error;
  }
}

const fleetToken = (fleet: string): string => nameToken(fleet, fleetLimit);
const below = ({ fleet, pool, node }: SensorPlace, kind: string): string =>
  `tapline.${fleetToken(fleet)}.${kind}.${nameToken(pool)}.${nameToken(node)}`;

/** Reports, every second. */
export const reportSubject = (place: SensorPlace): string => below(place, "report.sensor");
/** Batches of findings, kept by JetStream. */
export const findingSubject = (place: SensorPlace): string => below(place, "finding");
/** Questions to one sensor. */
export const querySubject = (place: SensorPlace): string => below(place, "query");
/** Where answers to a sensor's own requests arrive; its own, so that no other sensor may read them. */
export const inboxPrefix = (place: SensorPlace): string => `_INBOX.${below(place, "sensor")}`;

/** All sensors of a fleet. */
export const everyReport = (fleet: string): string => `tapline.${fleetToken(fleet)}.report.sensor.>`;
export const everyFinding = (fleet: string): string => `tapline.${fleetToken(fleet)}.finding.>`;

/** The JetStream stream that keeps a fleet's findings. */
export const findingStream = (fleet: string): string => `TAPLINE-FINDINGS-${fleetToken(fleet)}`;

/** Where a relay runs: one on a node. */
export type RelayPlace = Pick<SensorPlace, "fleet" | "node">;

const belowRelay = ({ fleet, node }: RelayPlace, kind: string): string =>
  `tapline.${fleetToken(fleet)}.${kind}.${nameToken(node)}`;
/** Reports of relays, every second. */
export const relayReportSubject = (place: RelayPlace): string => belowRelay(place, "report.relay");
/** Questions to one relay. No pool can be named `$relay`. */
export const relayQuerySubject = (place: RelayPlace): string => belowRelay(place, "query.$relay");
/** All relays of a fleet. */
export const everyRelayReport = (fleet: string): string => `tapline.${fleetToken(fleet)}.report.relay.>`;
export const relayInboxPrefix = (place: RelayPlace): string => `_INBOX.${belowRelay(place, "relay")}`;

/** Where answers to the operator's own requests arrive. */
export const operatorInboxPrefix = (fleet: string): string => `_INBOX.tapline.${fleetToken(fleet)}.operator`;

/** The key-value bucket with a key for each node, and the object store beside it with the plans themselves. */
export function planBucket(fleet: string): string {
  const token = fleetToken(fleet);
  // NATS takes no other letters in the name of a bucket.
  if (token.includes("%"))
    throw new TaplineError("BUS_BAD_NAME", {
      name: fleet,
      detail: "a bucket's name has letters, digits, - and _ only",
    });
  return `tapline-plans-${token}`;
}
/** A key may not hold "%". */
export const planKey = (node: string): string => nameToken(node).replaceAll("%", "=");

/** Whose report this is. */
export type ReportSubject = (SensorPlace & { readonly kind: "sensor" }) | (RelayPlace & { readonly kind: "relay" });

export function parseReportSubject(subject: string): ReportSubject | undefined {
  const sensor = parseSubject(subject);
  if (sensor) {
    const { fleet, pool, node } = sensor;
    return sensor.kind === "report" ? { kind: "sensor", fleet, pool, node } : undefined;
  }
  const match = /^tapline\.([^.]+)\.report\.relay\.([^.]+)$/.exec(subject);
  const [fleet, node] = [match?.[1], match?.[2]].map((token) => tokenName(token ?? ""));
  return fleet === undefined || node === undefined ? undefined : { kind: "relay", fleet, node };
}

export interface SensorSubject extends SensorPlace {
  readonly kind: "report" | "finding" | "query";
}

/** Who sent this, or whom it asks. Undefined when it is no subject of a sensor. */
export function parseSubject(subject: string): SensorSubject | undefined {
  const match = /^tapline\.([^.]+)\.(report\.sensor|finding|query)\.([^.]+)\.([^.]+)$/.exec(subject);
  if (!match) return undefined;
  const [fleet, pool, node] = [match[1], match[3], match[4]].map((token) => tokenName(token ?? ""));
  if (fleet === undefined || pool === undefined || node === undefined) return undefined;
  return { kind: match[2] === "report.sensor" ? "report" : (match[2] as "finding" | "query"), fleet, pool, node };
}
