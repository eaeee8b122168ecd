// Which interfaces the entries of a configuration mean. Pure.
import type { NetworkInterface } from "./interfaces.ts";

export type InterfaceEntry =
  | { readonly name: string }
  /** exclude: names or globs */
  | { readonly glob: string; readonly exclude?: readonly string[] }
  | { readonly driver: string; readonly exclude?: readonly string[] };

export interface Matched {
  readonly interfaces: readonly NetworkInterface[];
  /** named, but not there (yet) */
  readonly absent: readonly string[];
}

/** `*`, `?`, `[a-z]` and `[!a-z]`, over the whole name. A bracket that is never closed is itself. */
export function globMatches(glob: string, name: string): boolean {
  const pattern = glob.replace(/\*+|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[/g, (part) => {
    if (part.startsWith("*")) return ".*";
    if (part === "?") return ".";
    if (part.length > 2 && part.startsWith("[")) {
      const inner = part.slice(1, -1).replace(/[\\[\]^]/g, "\\$&");
      return `[${inner.startsWith("!") ? `^${inner.slice(1)}` : inner}]`;
    }
    return part.replace(/[\\^$.|+(){}[\]*?]/g, "\\$&");
  });
  return pattern.length > 0 && safe(pattern)?.test(name) === true;
}

/** A range like [z-a] is none: it matches nothing. */
function safe(pattern: string): RegExp | undefined {
  try {
    return new RegExp(`^${pattern}$`, "s");
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Entries by name win: what is named is meant, though a glob beside it excludes it. Loopback is meant by name only. The order is that of
 * the entries, each interface once.
 */
export function matching(entries: readonly InterfaceEntry[], all: readonly NetworkInterface[]): Matched {
  const found = new Map<string, NetworkInterface>();
  const absent = new Set<string>();
  for (const entry of entries) {
    const meant = all.filter((one) => means(entry, one));
    for (const one of meant) found.set(one.name, one);
    if ("name" in entry && meant.length === 0) absent.add(entry.name);
  }
  return { interfaces: [...found.values()], absent: [...absent] };
}

function means(entry: InterfaceEntry, one: NetworkInterface): boolean {
  if ("name" in entry) return one.name === entry.name;
  if (one.kind === "loopback" || entry.exclude?.some((glob) => globMatches(glob, one.name))) return false;
  return "glob" in entry ? globMatches(entry.glob, one.name) : one.driver === entry.driver;
}
