// Values that configurations are made of, each with the text a person reads when it is wrong. Texts continue "key: ".
import { z } from "zod";
import { rules } from "./cel.ts";
import { parseAddress } from "./ip-address.ts";
import { durationText, parseDuration } from "./time.ts";

/**
 * Text; a fault names what it must be, never only a pattern. `form` is what the reference page shows as its type. `rule` says the same in CEL, for
 * those that stand in a CRD, too.
 */
const text = (
  form: string,
  most: number,
  right: (value: string) => boolean,
  must: string,
  rule?: string,
): z.ZodString => {
  const plain = z
    .string()
    .max(most)
    .refine(right, { error: `must be ${must}` })
    .meta({ form });
  return rule === undefined ? plain : rules(plain, { rule, message: `must be ${must}` });
};

/** Becomes nanoseconds. A number holds them exactly up to 104 days. */
export const duration = (least: string, most: string) => {
  const [low, high] = [parseDuration(least) ?? 0n, parseDuration(most) ?? 0n];
  return z
    .string()
    .transform((typed, context) => {
      const ns = parseDuration(typed);
      if (ns !== undefined && ns >= low && ns <= high) return Number(ns);
      const is = ns === undefined ? `"${typed.slice(0, 40)}"` : durationText(ns);
      const message = `must be a duration from ${least} to ${most} with its unit, as 500ms, 2s or 5m; it is ${is}`;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .meta({ form: `duration, ${least} to ${most}` });
};

export const path = text("path", 4096, (value) => value.trim() !== "" && !value.includes("\0"), "a path");

/** 0 takes any free port: for tests, and for whoever reads the log. */
export const port = z.int().min(0).max(65_535);

export const host = text(
  "address",
  253,
  (value) => /^[0-9a-z.-]+$/i.test(value) || /^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(value),
  "an address or a host name, without port",
);

export const ipAddress = text(
  "IP address",
  45,
  (value) => parseAddress(value) !== undefined,
  "an IPv4 or IPv6 address",
);

/** IFNAMSIZ is 16 with its zero; the kernel refuses slashes, colons and spaces. */
export const interfaceName = text(
  "interface",
  15,
  (value) => /^[^\s/:]+$/.test(value) && value !== "." && value !== "..",
  "the name of an interface, without spaces, slashes and colons",
  String.raw`self.matches(r'^[^\s/:]+$') && self != '.' && self != '..'`,
);

/** "2-5,8" */
export const cpuList = text(
  "CPU list",
  1024,
  (value) =>
    value.split(",").every((part) => {
      const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
      return first !== undefined && Number(first) <= Number(last);
    }),
  'a list of CPUs, as "2-5,8"',
  "self.matches('^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$') && " +
    "self.split(',').all(part, !part.contains('-') || int(part.split('-')[0]) <= int(part.split('-')[1]))",
);

/** Pools and fleets: they become parts of subjects and of Kubernetes objects' names. */
export const shortName = text(
  "name",
  40,
  (value) => /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(value),
  "a name of small letters, digits and inner hyphens",
  "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
);

/** Of an object in a Kubernetes cluster: a DNS subdomain, which most names are; a DNS label is one without dots. */
export const kubernetesName = text(
  "name of an object",
  253,
  (value) => /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(value),
  "the name of a Kubernetes object: small letters, digits, inner hyphens and dots",
);

/** Labels of Kubernetes, with their values. */
export const labelMap = z
  .record(z.string().min(1).max(317), z.string().max(63))
  .refine((labels) => Object.keys(labels).length <= 32, { error: "must be at most 32 labels" })
  .default({})
  .meta({ form: "labels" });

/** No name and password within: addresses are logged and shown, files are not. */
export const serverUrl = (schemes: readonly string[]) =>
  z
    .string()
    .max(2048)
    .refine((value) => URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1)), {
      error: `must be an address that starts with ${schemes.map((scheme) => `${scheme}://`).join(" or ")}`,
    })
    .refine((value) => !URL.canParse(value) || new URL(value).username + new URL(value).password === "", {
      error: "must not contain a user or password: name a file that holds them, since addresses are logged",
    })
    .meta({ form: "URL" });
