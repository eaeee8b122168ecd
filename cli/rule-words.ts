// A rule as it is typed: --from eth0,239.1.1.1:5000 --to eth1,239.2.2.2:5001,ttl=8. Enters: words. Leaves: a rule as a file would have it; whether
// it is right is judged where all rules are.
import { addressKind } from "#domain/ip-address.ts";
import { nearest } from "#domain/nearest.ts";
import { UsageError } from "./arguments.ts";

type Values = Record<string, unknown>;

const inputKeys = ["vlan", "source", "protocol"] as const;
const outputKeys = ["id", "ttl", "dscp", "source"] as const;
const example = "as eth0,239.1.1.1:5000";

/** 239.1.1.1:5000, [ff05::1]:5000, 239.1.1.1, ff05::1 */
function destination(text: string): Values {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^[\]]*?))(?::(\d+))?$/.exec(text) ?? [];
  const bare = addressKind(text) !== undefined;
  const host = bare ? text : (bracketed ?? plain ?? text);
  const kind = addressKind(host);
  const key = kind === "unicast" || kind === "loopback" ? "address" : "group";
  return { [key]: host, ...(bare || port === undefined ? {} : { port: Number(port) }) };
}

function more(words: readonly string[], keys: readonly string[], option: string): [string, string][] {
  return words.map((word) => {
    const [, key = "", value = ""] = /^([a-z]+)=(.+)$/.exec(word) ?? [];
    if (keys.includes(key)) return [key, value];
    const near = nearest(key || word, keys);
    throw new UsageError(`${option}: "${word}" is not understood; ${near === undefined ? `known: ${keys.join("=, ")}=` : `did you mean ${near}=?`}`); // biome-ignore format: one text
  });
}

const numbers = new Set(["vlan", "ttl", "dscp"]);
const valueFor = (key: string, text: string): unknown =>
  numbers.has(key) && /^-?\d+$/.test(text) ? Number(text) : text;

export function inputWords(text: string): Values {
  const [name = "", to, ...rest] = text.split(",");
  if (to === undefined) throw new UsageError(`--from needs an interface and what its packets are sent to, ${example}`);
  const input: Values = { interface: name, ...destination(to) };
  const sources: string[] = [];
  for (const [key, value] of more(rest, inputKeys, "--from")) {
    if (key === "source") sources.push(value);
    else input[key] = key === "protocol" ? value.toUpperCase() : valueFor(key, value);
  }
  return sources.length === 0 ? input : { ...input, sources };
}

export function outputWords(text: string): Values {
  const [name = "", to, ...rest] = text.split(",");
  const words = to === undefined || to.includes("=") ? [to, ...rest].filter((word) => word !== undefined) : rest;
  const output: Values = { interface: name, ...(to === undefined || to.includes("=") ? {} : destination(to)) };
  for (const [key, value] of more(words, outputKeys, "--to")) output[key] = valueFor(key, value);
  return output;
}
