// What the operator has written, as the apiserver itself recorded it. Enters: an audit log. Leaves: how many writes in which time, and of what.
import { readFileSync, writeFileSync } from "node:fs";

const policy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - {level: None, verbs: [get, list, watch]}
  - {level: Metadata}
`;

/** Flags of an apiserver that records. */
export function auditFlags(log: string): string[] {
  writeFileSync(`${log}.policy.yaml`, policy);
  return [`--audit-policy-file=${log}.policy.yaml`, `--audit-log-path=${log}`];
}

export interface Write {
  /** ms since 1970 */
  readonly at: number;
  /** "patch relayrules/status" */
  readonly what: string;
  /** of FleetNodes, which have a limit of their own */
  readonly ofNode: boolean;
}

interface AuditEvent {
  readonly verb: string;
  readonly userAgent?: string;
  readonly requestReceivedTimestamp: string;
  readonly objectRef?: { readonly resource: string; readonly subresource?: string };
}

/** In the order of their times. A last line that is still being written is left out. */
export function writesOf(log: string, userAgent: string): Write[] {
  const lines = readFileSync(log, "utf8").split("\n").slice(0, -1);
  const events = lines.map((line) => JSON.parse(line) as AuditEvent).filter((event) => event.userAgent === userAgent);
  return events
    .map(({ verb, objectRef: { resource, subresource } = { resource: "?" }, requestReceivedTimestamp: received }) => ({
      at: Date.parse(received),
      what: `${verb} ${resource}${subresource === undefined ? "" : `/${subresource}`}`,
      ofNode: resource === "fleetnodes",
    }))
    .toSorted((a, b) => a.at - b.at);
}

export interface Rates {
  readonly perSecond: number;
  /** in any one second */
  readonly most: number;
  /** what → a second */
  readonly of: Readonly<Record<string, number>>;
}

export function ratesOf(writes: readonly Write[], from: number, to: number): Rates {
  const within = writes.filter(({ at }) => at >= from && at < to);
  const seconds = (to - from) / 1000;
  let [first, most] = [0, 0];
  for (const [last, { at }] of within.entries()) {
    while ((within[first]?.at ?? at) <= at - 1000) first++;
    most = Math.max(most, last - first + 1);
  }
  const of = [...Map.groupBy(within, ({ what }) => what)].map(([what, all]) => [what, all.length / seconds] as const);
  return { perSecond: within.length / seconds, most, of: Object.fromEntries(of.toSorted(([, a], [, b]) => b - a)) };
}
