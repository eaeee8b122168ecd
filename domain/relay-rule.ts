// A relay rule as people and plans write it: keys, ranges, defaults and meanings, shaped as a hop of RelayRule's spec, so that names
// agree. What is checked here is one rule by itself; relay-checks.ts looks at all of them together.
// docs/reference/relay-rules.md is made from this.
import { z } from "zod";
import { interfaceName } from "./config-values.ts";
import { parseAddress } from "./ip-address.ts";
import {
  address,
  deliverLocal,
  dscp,
  engine,
  group,
  limit,
  mostOutputs,
  protocol,
  storm,
  ttl,
  udpPort,
  vlan,
} from "./relay-fields.ts";

export const mostRules = 10_000;
const mostPeers = 8;

const id = z
  .string()
  .max(96)
  .refine((value) => /^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/.test(value), {
    error: "must begin with a letter or digit and hold only those and . _ : / @ -",
  })
  .meta({ form: "id" });
const name = z
  .string()
  .min(1)
  .max(63)
  .refine((value) => !/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(value), { error: "must be printable text" });

const pathId = z
  .int()
  .min(1)
  .max(2 ** 32 - 1);
const pathKey = z
  .string()
  .refine((value) => /^[0-9a-f]{32}$/i.test(value), { error: "must be 16 bytes as 32 hexadecimal digits" })
  .meta({ form: "key, 32 hexadecimal digits" });

interface Ends {
  readonly group?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** What stands at either end of a rule: a group or an address, with a port for UDP. */
function oneDestination(end: Ends, context: z.RefinementCtx): void {
  if (end.group !== undefined && end.address !== undefined)
    context.addIssue({ code: "custom", path: ["address"], message: "is a second destination beside group: keep one" });
}

const tunnelInput = z.strictObject({
  path: pathId.describe("number of the path, the same at both ends"),
  key: pathKey.describe("secret of the path, the same at both ends"),
  peers: z
    .array(address)
    .min(1)
    .max(mostPeers)
    .describe("addresses that it may come from: the `source` of the path's output there"),
});
const tunnelOutput = z.strictObject({
  path: pathId.describe("number of the path, the same at both ends"),
  key: pathKey.describe("secret of the path, the same at both ends"),
  to: address.describe("the next hop's address"),
  source: address.optional().describe("this end's address; absent: the one that the route takes"),
});

const from = z
  .strictObject({
    interface: interfaceName.optional().describe("where packets come in; waited for when it is not there"),
    vlan: vlan.optional().describe("tag of those packets; absent: untagged ones"),
    group: group.optional().describe("the multicast group they are sent to"),
    address: address.optional().describe("in place of a group: the address of this node they are sent to"),
    protocol: protocol.describe("ESP is relayed as it is, unopened"),
    port: udpPort.optional().describe("UDP port they are sent to; none for ESP"),
    sources: z.array(address).max(64).default([]).describe("only from these; empty: any source"),
    tunnel: tunnelInput.optional().describe("in place of all above: what another hop sent through a tunnel"),
  })
  .superRefine((value, context) => {
    const add = (key: string, message: string): void => context.addIssue({ code: "custom", path: [key], message });
    if (value.tunnel !== undefined) {
      for (const key of ["interface", "vlan", "group", "address", "port"] as const)
        if (value[key] !== undefined) add(key, "belongs to packets from the wire, not to a tunnel");
      if (value.sources.length > 0) add("sources", "belongs to packets from the wire: a tunnel has peers");
      return;
    }
    oneDestination(value, context);
    if (value.interface === undefined) add("interface", "is needed: packets come in somewhere (or by a tunnel)");
    if (value.group === undefined && value.address === undefined)
      add("group", "is needed, or an address: what the packets are sent to");
    if (value.protocol === "UDP" && value.port === undefined) add("port", "is needed for UDP");
    if (value.protocol === "ESP" && value.port !== undefined) add("port", "has no meaning for ESP: leave it out");
    const family = familyOf(value.group ?? value.address);
    for (const [i, source] of value.sources.entries()) {
      if (familyOf(source) !== family)
        context.addIssue({
          code: "custom",
          path: ["sources", i],
          message: "is not of the destination's IP version",
        });
      if (value.sources.indexOf(source) !== i)
        context.addIssue({ code: "custom", path: ["sources", i], message: `is ${source} a second time` });
    }
  });

const to = z
  .strictObject({
    id: id.optional().describe("what its counters follow; absent: interface, destination and port as text"),
    interface: interfaceName.optional().describe("where copies leave"),
    group: group.optional().describe("the multicast group they are sent to; absent: as they came"),
    address: address.optional().describe("in place of a group: the address they are sent to"),
    port: udpPort.optional().describe("UDP port they are sent to; absent: as they came"),
    ttl: ttl.optional().describe("TTL they start with; absent: the one they came with, less one"),
    dscp: dscp.optional().describe("absent: as they came"),
    source: address.optional().describe("source address; absent: as they came"),
    tunnel: tunnelOutput.optional().describe("in place of all above: to another hop, wrapped"),
  })
  .superRefine((value, context) => {
    const add = (key: string, message: string): void => context.addIssue({ code: "custom", path: [key], message });
    if (value.tunnel !== undefined) {
      for (const key of ["group", "address", "port", "ttl", "source"] as const)
        if (value[key] !== undefined) add(key, "belongs to packets that leave as they are, not to a tunnel");
      if (value.tunnel.source !== undefined && familyOf(value.tunnel.source) !== familyOf(value.tunnel.to))
        context.addIssue({
          code: "custom",
          path: ["tunnel", "source"],
          message: "is not of the next hop's IP version",
        });
      return;
    }
    oneDestination(value, context);
    if (value.interface === undefined) add("interface", "is needed: copies leave somewhere (or by a tunnel)");
  });

export const relayRule = z
  .strictObject({
    id: id.optional().describe("what its counters follow through every change; absent: made of the input"),
    name: name.optional().describe("for people; absent: the id"),
    from: from.describe("which packets"),
    to: z.array(to).min(1).max(mostOutputs).describe("where copies of them go"),
    engine,
    deliverLocal,
    limit: limit.optional(),
    storm: storm.optional(),
  })
  .superRefine(outputsFit);

export type RelayRule = z.output<typeof relayRule>;
export type RuleOutput = RelayRule["to"][number];

/** With everything that may be left out of its names filled in. */
export interface NamedRule extends RelayRule {
  readonly id: string;
  readonly name: string;
  readonly to: NamedOutput[];
}
export interface NamedOutput extends RuleOutput {
  readonly id: string;
}

/** A file of rules; also what `save` writes. */
export const relayRules = z.strictObject({
  rules: z
    .array(relayRule)
    .max(mostRules, { error: (issue) => tooMany((issue.input as unknown[]).length) })
    .describe(`at most ${mostRules}`),
});
export const tooMany = (count: number): string =>
  `has ${count} rules: a relay takes at most ${mostRules}. Join those that differ only in their sources or outputs`;

const familyOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : parseAddress(text)?.length;

/** What an output sends to: what it says, or what came. A tunnel's packets keep what is inside: unknown here. */
export const destinationOf = ({ from: input }: RelayRule, output: RuleOutput): string | undefined =>
  output.group ?? output.address ?? input.group ?? input.address;
export const portOf = ({ from: input }: RelayRule, output: RuleOutput): number | undefined => output.port ?? input.port;

function outputsFit(rule: RelayRule, context: z.RefinementCtx): void {
  const { from: input } = rule;
  const seen = new Map<string, number>();
  for (const [i, output] of rule.to.entries()) {
    const add = (key: string, message: string): void =>
      context.addIssue({ code: "custom", path: ["to", i, key], message });
    if (output.tunnel === undefined) {
      if (input.tunnel !== undefined && output.group === undefined && output.address === undefined)
        add("group", "is needed, or an address: a tunnel's rule does not know what its packets are sent to");
      if (input.protocol === "ESP" && output.port !== undefined) add("port", "has no meaning for ESP: leave it out");
      const family = familyOf(input.group ?? input.address);
      for (const key of ["group", "address", "source"] as const)
        if (output[key] !== undefined && family !== undefined && familyOf(output[key]) !== family)
          add(key, `is not of the input's IP version: ${output[key]} cannot carry its packets`);
      if (input.tunnel === undefined && sameAsInput(rule, output))
        context.addIssue({
          code: "custom",
          path: ["to", i],
          message: "is the rule's own input: what it sends would come in again. Name another interface, group or port",
        });
    }
    const text = outputText(rule, output);
    const before = seen.get(text);
    if (before === undefined) seen.set(text, i);
    else
      context.addIssue({
        code: "custom",
        path: ["to", i],
        message: `is the same as to[${before}]: every packet would leave twice`,
      });
  }
}

const sameAsInput = (rule: RelayRule, output: RuleOutput): boolean =>
  rule.from.interface === output.interface &&
  rule.from.vlan === undefined &&
  sameAddress(destinationOf(rule, output), rule.from.group ?? rule.from.address) &&
  portOf(rule, output) === rule.from.port;

const canonical = (text: string | undefined): string => parseAddress(text ?? "")?.join(".") ?? "";
const sameAddress = (a: string | undefined, b: string | undefined): boolean => canonical(a) === canonical(b);

const withPort = (host: string, port: number | undefined): string => {
  if (port === undefined) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
};

/** eth0/239.1.1.1:5000, eth0.10/…, …@10.0.0.1; tunnel:7 */
export function inputText({ from: input }: RelayRule): string {
  if (input.tunnel) return `tunnel:${input.tunnel.path}`;
  const vlanText = input.vlan === undefined ? "" : `@${input.vlan}`;
  const protocol = input.protocol === "ESP" ? "/esp" : "";
  const destination = withPort(input.group ?? input.address ?? "", input.port);
  return `${input.interface ?? ""}${vlanText}${protocol}/${destination}${input.sources.map((one) => `@${one}`).join("")}`;
}
export function outputText(rule: RelayRule, output: RuleOutput): string {
  if (output.tunnel) return `tunnel:${output.tunnel.path}`;
  return `${output.interface ?? ""}/${withPort(destinationOf(rule, output) ?? "", portOf(rule, output))}`;
}

/** An id is also a part of addresses: no brackets in it. */
const asId = (text: string): string => text.replaceAll(/[[\]]/g, "").slice(0, 96);

export function namedRule(rule: RelayRule): NamedRule {
  const { id: _, name: __, ...rest } = rule;
  const own = rule.id ?? asId(inputText(rule));
  const taken = new Set(rule.to.flatMap((output) => output.id ?? []));
  // In the schema's order, so that a file that is read and written again is the same.
  return {
    id: own,
    name: rule.name ?? own,
    ...rest,
    to: rule.to.map((output) => {
      const { id: given, ...rest } = output;
      if (given !== undefined) return { id: given, ...rest };
      const made = asId(outputText(rule, output));
      for (let i = 1; ; i++) {
        const free = i === 1 ? made : `${made}.${i}`;
        if (taken.has(free)) continue;
        taken.add(free);
        return { id: free, ...rest };
      }
    }),
  };
}
