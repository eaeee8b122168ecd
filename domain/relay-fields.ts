// What a relay rule is made of, shared by the rules of a node (relay-rule.ts) and by RelayRule, which spans nodes (relay-rule-object.ts).
import { z } from "zod";
import { ipAddress } from "./config-values.ts";
import { addressKind, parseAddress } from "./ip-address.ts";

export const mostOutputs = 64;

const kinds = {
  group: (text: string): string | undefined => {
    const kind = addressKind(text);
    if (kind === "link-local group")
      return `is ${text}, of a range that never leaves its network (RFC 5771, RFC 4291): no router forwards it`;
    return kind === "group" ? undefined : `must be a multicast group; ${text} is ${named(kind)}`;
  },
  address: (text: string): string | undefined => {
    const kind = addressKind(text);
    return kind === "unicast" ? undefined : `must be a unicast address; ${text} is ${named(kind)}`;
  },
};
const named = (kind: string | undefined): string =>
  kind === undefined ? "no IP address" : `${/^(?:IP|uns)/.test(kind) ? "an" : "a"} ${kind} address`;
const of = (kind: keyof typeof kinds) =>
  ipAddress.superRefine((value, context) => {
    const wrong = parseAddress(value) ? kinds[kind](value) : undefined;
    if (wrong !== undefined) context.addIssue({ code: "custom", message: wrong });
  });
export const group = of("group").meta({ form: "multicast group" });
export const address = of("address").meta({ form: "unicast address" });

export const udpPort = z.int().min(1).max(65_535);
export const protocol = z.enum(["UDP", "ESP"]).default("UDP");
export const vlan = z.int().min(1).max(4094);

export const ttl = z
  .int()
  .max(255)
  .refine((value) => value >= 1, {
    error: "must be 1 or more: a packet with TTL 0 never leaves (1 reaches the next network only)",
  })
  .meta({ minimum: 1 });
export const dscp = z.int().min(0).max(63);

const packets = z.int().min(1).max(1_000_000_000);

export const engine = z
  .enum(["Auto", "XDP", "TC", "AFPacket"])
  .default("Auto")
  .describe("what carries them; Auto takes the fastest that can, and says which and why");
export const deliverLocal = z.boolean().default(false).describe("subscribers on this node get them, too");
export const limit = z
  .strictObject({
    pps: packets.describe("packets per second, on average"),
    burst: packets.optional().describe("packets at once above that; absent: a tenth of a second's"),
  })
  .describe("a token bucket; absent: none");
export const storm = z
  .strictObject({ pps: packets.describe("more within one second cuts the rule off for the rest of it") })
  .describe("against a loop that nothing else stops; absent: none");
