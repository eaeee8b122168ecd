// What a relay rule is made of, shared by the rules of a node (relay-rule.ts) and by RelayRule, which spans nodes (relay-rule-object.ts).
import { z } from "zod";
import { rules } from "./cel.ts";
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
// The API server's twins: the same kinds, by its library for addresses (Kubernetes 1.31). It takes neither IPv4-mapped addresses nor zones.
const isAddress = {
  rule: "isIP(self)",
  message: "must be an IPv4 or IPv6 address, as 239.1.1.1 or ff3e::1",
  messageExpression: "'must be an IPv4 or IPv6 address, as 239.1.1.1 or ff3e::1; \"' + self + '\" is none'",
};
const within = (...ranges: readonly string[]): string =>
  ranges.map((range) => `cidr('${range}').containsIP(self)`).join(" || ");
const isMulticast = `(ip(self).family() == 4 ? ${within("224.0.0.0/4")} : ${within("ff00::/8")})`;
// RFC 4291, 2.7: the fourth digit of an IPv6 group is its scope; 0 to 2 do not leave a link.
const staysOnLink = `(ip(self).family() == 4 ? ${within("224.0.0.0/24")} : self.matches('^[fF][fF][0-9a-fA-F][0-2]:'))`;
const isNobody = `(ip(self).family() == 4 ? ${within("0.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4")} : ip(self).isUnspecified() || ip(self).isLoopback())`;

export const group = rules(
  of("group").meta({ form: "multicast group" }),
  isAddress,
  {
    rule: `!isIP(self) || ${isMulticast}`,
    message: "is not a multicast address; for a unicast receiver use `address`",
    messageExpression: "self + ' is not a multicast address; for a unicast receiver use `address`'",
  },
  {
    rule: `!isIP(self) || !${isMulticast} || !${staysOnLink}`,
    message: "is of a range that never leaves its network (RFC 5771, RFC 4291): no router forwards it",
    messageExpression:
      "self + ' is of a range that never leaves its network (RFC 5771, RFC 4291): choose another group'",
  },
);
export const address = rules(
  of("address").meta({ form: "unicast address" }),
  isAddress,
  {
    rule: `!isIP(self) || !${isMulticast}`,
    message: "is a multicast address; for a group use `group`",
    messageExpression:
      "self + ' is a multicast address; a group stands in `group`, and no packet has one as its source'",
  },
  {
    rule: `!isIP(self) || ${isMulticast} || !${isNobody}`,
    message: "must be the address of one machine: not 0.0.0.0, loopback, broadcast or reserved",
    messageExpression:
      "self + ' is no address of a machine on a network: not unspecified, loopback, broadcast or reserved'",
  },
);

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
