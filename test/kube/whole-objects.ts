// Objects that are sound, and how one place in them is made wrong. For the table of wrong objects.
import { apiVersion } from "#domain/custom-resource.ts";
import type { Manifest } from "../e2e/kubectl.ts";
import type { Refusal, Rest } from "./rest.ts";

export const many = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i));
export const long = (length: number): string => "a".repeat(length);

/** What a SensorPool needs at least. */
export const watched = { interfaces: [{ name: "eth1" }] };
/** A hop from wire to wire, by two outputs. */
export const wire = {
  name: "gateway",
  nodes: { names: ["gateway-1"] },
  from: { interface: "eth1", group: "239.1.1.1", port: 5000 },
  to: [{ interface: "eth2" }, { interface: "eth3", group: "239.2.2.2", port: 6000 }],
};
/** The same by one, which leaves port and group as they come. */
export const single = { ...wire, to: [{ interface: "eth2" }] };

export const time = "2026-11-21T10:00:00Z";
export const totals = { packets: 9, bytes: 900, pps: 1, bps: 800, drops: {}, lost: 0, suspect: 0, flows: 1 };
const counts = { received: 9, matched: 9, refused: {}, sent: 9, dropped: {}, lost: 0 };
export const hopStatus = {
  name: "gateway",
  nodes: 1,
  programmed: 1,
  reporting: 1,
  engines: ["tc"],
  ...counts,
  pps: 1,
  bps: 8,
};
export const nodeRule = { rule: "feed", hop: "core", state: "active", engine: "tc", why: "one output", ...counts };

const plurals = { SensorPool: "sensorpools", RelayRule: "relayrules", FleetNode: "fleetnodes" } as const;
type Kind = keyof typeof plurals;
const object = (kind: Kind, name: string, spec?: unknown): Manifest => ({
  apiVersion,
  kind,
  metadata: { name },
  ...(spec === undefined ? {} : { spec }),
});

export const pool = (name: string, spec: object = watched): Manifest => object("SensorPool", name, spec);
export const rule = (name: string, hops: readonly object[] = [wire]): Manifest => object("RelayRule", name, { hops });

const sound = {
  pool: () => pool("edge", { ...watched, nodes: { selector: {} }, capture: { ring: {} } }),
  hop1: () => rule("studio-a"),
  hop3: () =>
    object("RelayRule", "feed", {
      hops: [
        { name: "source", nodes: { names: ["colo-1"] }, from: wire.from, to: [{ hop: "core" }] },
        { name: "core", nodes: { names: ["core-1"] }, to: [{ hop: "edge" }] },
        { name: "edge", nodes: { selector: {} }, to: [{ interface: "eth1", group: "239.1.1.1" }] },
      ],
    }),
  node: () => object("FleetNode", "edge-1.example.com"),
  /** One that is there already: what is sent changes it. */
  kept: () =>
    object("SensorPool", "kept", { interfaces: [{ name: "eth1" }], store: { path: "/var/lib/tapline/kept" } }),
};
/** Those whose status is written are there, too. */
export type Base = keyof typeof sound | "status pool" | "status hop1" | "status node";
const named = (base: Base): keyof typeof sound => base.replace("status ", "") as keyof typeof sound;

const pathOf = ({ kind, metadata }: Manifest): string =>
  `/apis/${apiVersion}/${plurals[kind as Kind]}/${metadata.name}`;
const whole = (path: string): string => path.slice(0, path.lastIndexOf("/"));

/** "spec.hops[0].to" of an object becomes the value; undefined takes it away. What is not there on the way is made. */
function put(at: object, path: string, value: unknown): void {
  const [last = "", ...before] = path
    .split(/[.[\]]+/)
    .filter((part) => part !== "")
    .reverse();
  let place = at as Record<string, unknown>;
  for (const part of before.reverse()) {
    place[part] ??= {};
    place = place[part] as Record<string, unknown>;
  }
  if (value === undefined) delete place[last];
  else place[last] = value;
}

/** Nothing is stored by `send`; these are. */
export async function prepare(rest: Rest): Promise<void> {
  for (const base of ["kept", "pool", "hop1", "hop3", "node"] as const) {
    const object = sound[base]();
    const { status, body } = await rest.ask<Refusal>("POST", `${whole(pathOf(object))}?fieldValidation=Strict`, object);
    if (status !== 201) throw new Error(`${base}: ${body.message}`);
  }
}

/** What the apiserver has against it, a line each; nothing when it takes it. */
export async function send(rest: Rest, base: Base, path: string, value: unknown): Promise<string[]> {
  const object = structuredClone(sound[named(base)]());
  const there = pathOf(object);
  put(object, path, value);
  const question = "dryRun=All&fieldValidation=Strict";
  const patch = "application/merge-patch+json";
  const { status, body } =
    base === "kept"
      ? await rest.ask<Refusal>("PUT", `${there}?${question}`, await asStored(rest, there, object))
      : base.startsWith("status ")
        ? await rest.ask<Refusal>("PATCH", `${there}/status?${question}`, object, patch)
        : await rest.ask<Refusal>("POST", `${whole(there)}?${question}`, fresh(object, path));
  if (status < 300) return [];
  const causes = (body.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
  return causes.length > 0 ? causes : [body.message];
}

/** A name of its own, since the first is taken; names that are judged stay. */
const fresh = (object: Manifest, path: string): Manifest =>
  path.startsWith("metadata.") ? object : { ...object, metadata: { name: `new-${object.metadata.name}` } };

async function asStored(rest: Rest, there: string, object: Manifest): Promise<Manifest> {
  const { body } = await rest.ask<Manifest>("GET", there);
  return { ...object, metadata: body.metadata };
}
