// What the API server checks of a RelayRule, in CEL: what one object shows by itself. What takes nodes or other rules to see (loops over several rules,
// overlapping inputs, interfaces that are missing) the operator tells: Accepted=False.
// The API server refuses rules whose cost it cannot bound. It knows the size of what a path names (self.hops, h.to), not of a text that was put together
// or of a list that was made: so no string(number), and texts by format().
import type { CelRule } from "./cel.ts";
import { mostOutputs } from "./relay-fields.ts";

/** Where something is sent to, as it stands there; '' when nothing does. */
const destination = (end: string): string =>
  `(has(${end}.group) ? ${end}.group : has(${end}.address) ? ${end}.address : '')`;
/** 4 or 6; 0 when there is no address, or one that is refused elsewhere. */
const version = (text: string): string => `(isIP(${text}) ? ip(${text}).family() : 0)`;
const portOf = (end: string): string => `(has(${end}.port) ? ${end}.port : 0)`;

const oneDestination: CelRule = {
  rule: "!has(self.group) || !has(self.address)",
  fieldPath: ".address",
  message: "is a second destination beside group: keep one",
};

export const inputRules: readonly CelRule[] = [
  oneDestination,
  {
    rule: "has(self.group) || has(self.address)",
    message: "needs group, or address: what the packets are sent to",
  },
  {
    rule: "self.protocol != 'UDP' || has(self.port)",
    fieldPath: ".port",
    message: "is needed for UDP: the feed's port",
  },
  {
    rule: "self.protocol != 'ESP' || !has(self.port)",
    fieldPath: ".port",
    message: "has no meaning for ESP: leave it out",
  },
  {
    rule: `!has(self.sources) || self.sources.all(source, !isIP(source) || ${version(destination("self"))} in [0, ip(source).family()])`,
    fieldPath: ".sources",
    message: "must be of the IP version of what the packets are sent to",
  },
];

export const outputRules: readonly CelRule[] = [
  oneDestination,
  {
    rule: "has(self.hop) || has(self.interface)",
    message: "needs interface, or hop: copies leave somewhere",
  },
  {
    rule: "!has(self.hop) || !has(self.interface)",
    fieldPath: ".interface",
    message: "has no effect beside hop: a tunnel takes the node's own route to each node of that hop",
  },
  {
    rule: "!has(self.hop) || !(has(self.group) || has(self.address) || has(self.port) || has(self.ttl) || has(self.source))",
    message:
      "group, address, port, ttl and source belong to packets that leave as they are, not to a tunnel: set them where the packets leave the last hop",
  },
  {
    rule: `!has(self.source) || !isIP(self.source) || ${version(destination("self"))} in [0, ip(self.source).family()]`,
    fieldPath: ".source",
    message: "must be of the IP version of what the copies are sent to",
  },
];

export const nodesRules: readonly CelRule[] = [
  {
    rule: "has(self.names) || has(self.selector)",
    message: "needs names or selector: which nodes this hop is",
  },
  {
    rule: "!has(self.names) || !has(self.selector)",
    fieldPath: ".selector",
    message: "is a second choice beside names: keep one",
  },
];

/** Whether two outputs send the same to the same place. */
const same = (a: string, b: string): string =>
  `(has(${a}.hop) ? has(${b}.hop) && ${a}.hop == ${b}.hop : !has(${b}.hop) && has(${a}.interface) && has(${b}.interface) && ` +
  `${a}.interface == ${b}.interface && ${destination(a)} == ${destination(b)} && ${portOf(a)} == ${portOf(b)})`;
const again = `self.to.exists(j, b, j < i && ${same("a", "b")})`;
const blind = "!has(self.from) && !has(t.hop) && !has(t.group) && !has(t.address)";
const itself =
  "has(self.from) && has(t.interface) && t.interface == self.from.interface && !has(self.from.vlan) && " +
  `(${destination("t")} == '' || ${destination("t")} == ${destination("self.from")}) && (!has(t.port) || ${portOf("t")} == ${portOf("self.from")})`;

export const hopRules: readonly CelRule[] = [
  {
    rule: "!has(self.from) || !self.to.exists(t, has(t.hop)) || !has(self.nodes.names) || self.nodes.names.size() == 1",
    fieldPath: ".nodes",
    message: "must be one node: the hop has `from` and a tunnel. Give each node a hop of its own",
  },
  {
    rule: `!self.to.exists(t, ${blind})`,
    fieldPath: ".to",
    message:
      "without `from` every output to the wire needs group or address: a tunnel's packets do not say where they go next",
  },
  {
    rule: `!self.to.exists(t, ${itself})`,
    fieldPath: ".to",
    message: "has the hop's own input: what it sends would come in again. Name another interface, group or port",
  },
  {
    rule: `!self.to.exists(i, a, ${again})`,
    fieldPath: ".to",
    message: "has an output twice: every packet would leave twice",
    messageExpression: `'to[%d] is the same as an output before it: every packet would leave twice'.format([self.to.transformList(i, a, ${again}, i)[0]])`,
  },
];

const missing = "has(t.hop) && !self.hops.exists(o, o.name == t.hop)";
const backwards = "has(t.hop) && self.hops.exists(j, o, j <= i && o.name == t.hop)";
const reached = "self.hops.exists(o, o.to.exists(t, has(t.hop) && t.hop == h.name))";
/** The first hop with such an output, and the hop that this output names. */
const edge = (which: string): string =>
  `self.hops.transformList(i, h, h.to.exists(t, ${which}), h.name)[0], ` +
  `self.hops.transformList(i, h, h.to.filter(t, ${which}).map(t, t.hop)).filter(names, names.size() > 0)[0][0]`;
const firstHop = (which: string): string => `self.hops.filter(h, ${which})[0].name`;
/** Whether something in the rule is of this IP version. */
const some = (family: number): string =>
  `self.hops.exists(h, has(h.from) && ${version(destination("h.from"))} == ${family} || h.to.exists(t, ${version(destination("t"))} == ${family}))`;

export const ruleRules: readonly CelRule[] = [
  {
    rule: `self.hops.all(h, !h.to.exists(t, ${missing}))`,
    fieldPath: ".hops",
    message: "an output names a hop that this rule does not have",
    messageExpression: `'hop %s sends to hop %s, which this rule does not have'.format([${edge(missing)}])`,
  },
  {
    rule: `self.hops.all(i, h, !h.to.exists(t, ${backwards}))`,
    fieldPath: ".hops",
    message: "a hop sends only to later ones, so that nothing goes round: change their order",
    messageExpression: `'hop %s sends to hop %s, which does not come later: a hop sends only to later ones, so that nothing goes round'.format([${edge(backwards)}])`,
  },
  {
    // Not beside the first: a name with a slip is one mistake, not two.
    rule: `self.hops.exists(h, h.to.exists(t, ${missing})) || self.hops.all(h, has(h.from) || ${reached})`,
    fieldPath: ".hops",
    message: "nothing comes to a hop: give it `from`, or name it in an earlier hop's `to`",
    messageExpression: `'nothing comes to hop %s: give it \`from\`, or name it in the \`to\` of an earlier hop'.format([${firstHop(`!has(h.from) && !${reached}`)}])`,
  },
  {
    rule: `self.hops.all(h, !has(h.from) || !${reached})`,
    fieldPath: ".hops",
    message:
      "a hop has `from`, and another sends to it: what comes by a tunnel and what comes from the wire are two hops",
    messageExpression: `'hop %s has \`from\`, and another hop sends to it: make two hops of it, one for the wire and one for the tunnel'.format([${firstHop(`has(h.from) && ${reached}`)}])`,
  },
  {
    rule: "!['UDP', 'ESP'].all(one, self.hops.exists(h, has(h.from) && h.from.protocol == one))",
    fieldPath: ".hops",
    message: "all inputs of a rule have one protocol: make a rule for UDP and one for ESP",
  },
  {
    rule: "!self.hops.exists(h, has(h.from) && h.from.protocol == 'ESP') || self.hops.all(h, h.to.all(t, !has(t.port)))",
    fieldPath: ".hops",
    message: "ESP has no ports: leave `port` out of the outputs",
  },
  {
    rule: `!(${some(4)} && ${some(6)})`,
    fieldPath: ".hops",
    message: "all groups and addresses of a rule are of one IP version: packets are relayed, not translated",
  },
  {
    rule: "self.engine != 'XDP' || !self.deliverLocal",
    fieldPath: ".deliverLocal",
    message: "what XDP takes, the node's own subscribers do not get: choose engine TC or Auto",
  },
  {
    rule: "self.engine != 'XDP' || self.hops.all(h, h.to.size() == 1)",
    fieldPath: ".engine",
    message: "XDP has one output for each hop: choose TC or Auto, which takes tc where there are more",
  },
  {
    rule: `self.engine != 'XDP' || !${some(6)}`,
    fieldPath: ".engine",
    message: "XDP relays IPv4 only: choose TC or Auto",
  },
  {
    rule: "!has(self.limit) || !has(self.storm) || self.storm.pps >= self.limit.pps",
    fieldPath: ".storm.pps",
    message: "is below limit.pps: the cut-off would come before the limit does",
  },
];

/** Of the outputs of one hop, each node of the next counts: the operator sees how many those are. */
export const outputsMeaning = `where copies go: to the wire, or to later hops. At most ${mostOutputs} copies of a packet`;
