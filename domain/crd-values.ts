// Values that only the CRDs have, or have in another form than the agents' configurations. The API server checks them, in CEL. Texts continue "field: ".
import { z } from "zod";
import { rules } from "./cel.ts";
import { parseDuration } from "./time.ts";

interface Span {
  readonly least: string;
  readonly most: string;
  readonly usual: string;
  readonly meaning: string;
}

/** CEL has no unit above the hour. */
const inHours = (text: string): string => (text.endsWith("d") ? `${Number(text.slice(0, -1)) * 24}h` : text);

/** As Kubernetes writes durations: no days. So many digits are no overflow. */
export const durationForm = "^([0-9]{1,6}(h|m)|[0-9]{1,9}([.][0-9]{1,9})?(s|ms|us|ns))$";
export function durationField({ least, most, usual, meaning }: Span) {
  const [low, high] = [inHours(least), inHours(most)];
  const must = `must be a duration from ${low} to ${high} with its unit, as 500ms, 2s or 5m`;
  return rules(
    z
      .string()
      .max(24)
      .refine((text) => parseDuration(text) !== undefined, { error: must })
      .meta({ form: `duration, ${low} to ${high}` }),
    {
      rule: `self.matches('${durationForm}') && duration(self) >= duration('${low}') && duration(self) <= duration('${high}')`,
      message: must,
      messageExpression: `'${must}; it is "' + self + '"'`,
    },
  )
    .default(usual)
    .describe(meaning);
}

/** Agents may write nowhere else on a node. */
export const nodePath = rules(
  z.string().max(255).meta({ form: "path below /var/lib/tapline" }),
  {
    rule: "self.matches('^/var/lib/tapline(/[A-Za-z0-9][A-Za-z0-9._-]*)+$')",
    message:
      "must be a folder below /var/lib/tapline, of letters, digits, dots, _ and -: agents write nowhere else on a node",
  },
  {
    rule: "self != '/var/lib/tapline/relay' && !self.startsWith('/var/lib/tapline/relay/')",
    message: "is the relay's folder: choose another one below /var/lib/tapline",
  },
);

export const claimName = rules(z.string().max(253).meta({ form: "name" }), {
  rule: "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
  message: "must be the name of a PersistentVolumeClaim: small letters, digits, inner hyphens and dots",
});

/** No name and password within: objects are shown to many. */
export const endpoint = rules(
  z.string().max(2048).meta({ form: "URL" }),
  {
    rule: "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",
    message: "must be an address that starts with http:// or https://",
  },
  {
    rule: "!self.matches('^[a-z]+://[^/]*@')",
    message: "must not contain a user or password: whoever may read this object would read them",
  },
);

/** As core/v1 writes CPUs: 2, "0.5", 500m. A number stands for itself. */
export const cpuQuantity = rules(z.union([z.int(), z.string()]).meta({ form: "CPUs, as 2 or 500m", maxLength: 20 }), {
  rule:
    "type(self) == string ? self.matches('^[0-9]+([.][0-9]+)?m?$') && quantity(self).compareTo(quantity('10m')) >= 0 " +
    "&& quantity(self).compareTo(quantity('1024')) <= 0 : self >= 1 && self <= 1024",
  message: "must be CPUs from 10m to 1024, as 2, 0.5 or 500m",
});

/** As intstr.IntOrString: a number, or a percentage. */
export const share = rules(z.union([z.int(), z.string()]).meta({ form: "number or percentage", maxLength: 8 }), {
  rule: "type(self) == string ? self.matches('^([1-9][0-9]?|100)%$') : self >= 1 && self <= 10000",
  message: "must be a number from 1, or a percentage from 1% to 100%: with none away, none can be replaced",
});
