// The values of a log line, made fit to be written: no secrets, errors as code and hint, and of bounded size.
import { TaplineError } from "#domain/errors.ts";

export type LogValues = Readonly<Record<string, unknown>>;

const hidden = "[hidden]";
/** Names of values that let somebody in. A path to such a value (`tokenFile`) may be seen. */
const secret =
  /^(authorization|cookie|.*(password|passwd|passphrase|secret|token|credentials?|seed|api_?key|private_?key))$/i;
/** scheme://user:password@host */
const userInfo = /(\w+:\/\/)[^\s/@]+@/g;
const bearer = /\b(Bearer|Basic)\s+[\w.~+/=-]{4,}/gi;

const mostCharacters = 4096;
const mostItems = 64;
const mostDepth = 5;

const cleanText = (text: string): string => {
  const short = text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text;
  return short.replaceAll(userInfo, `$1${hidden}@`).replaceAll(bearer, `$1 ${hidden}`);
};

function errorValues(error: Error, depth: number): Record<string, unknown> {
  const { code } = error as NodeJS.ErrnoException;
  const known = error instanceof TaplineError;
  return {
    ...(code === undefined ? {} : { code: String(code) }),
    message: cleanText(error.message),
    ...(known ? { hint: cleanText(error.hint) } : {}),
    ...(error.cause === undefined ? {} : { cause: clean(error.cause, depth + 1) }),
    // Not foreseen: the place is what helps.
    ...(known || depth > 1 || error.stack === undefined ? {} : { stack: cleanText(error.stack) }),
  };
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === "string") return cleanText(value);
  if (typeof value === "function" || typeof value === "symbol") return String(value).slice(0, 64);
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > mostDepth) return "…";
  if (value instanceof Error) return errorValues(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "no time" : value.toISOString();
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `${value.byteLength} bytes`;
  if (value instanceof Map || value instanceof Set) return clean([...value], depth);
  if (Array.isArray(value)) {
    const items = value.slice(0, mostItems).map((item) => clean(item, depth + 1));
    return value.length > mostItems ? [...items, `… ${value.length - mostItems} more`] : items;
  }
  const entries = Object.entries(value).slice(0, mostItems);
  return Object.fromEntries(
    entries.map(([key, below]) => [
      key,
      secret.test(key) && below !== undefined && below !== null ? hidden : clean(below, depth + 1),
    ]),
  );
}

/** Names that the line itself has. */
const own = ["time", "severity", "facility", "message", "suppressed"] as const;

export function cleanValues(values: LogValues): LogValues {
  const cleaned = clean(values, 0) as Record<string, unknown>;
  for (const key of own)
    if (Object.hasOwn(cleaned, key)) {
      cleaned[`${key}_`] = cleaned[key];
      delete cleaned[key];
    }
  return cleaned;
}
