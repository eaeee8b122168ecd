// A JSON log line as people read it: 10:00:00.123 warning  capture   lost the interface  interface=eth1 since="2 s"

const plain = /^[\w.:/@%+-]+$/;

interface Line {
  readonly time: string;
  readonly severity: string;
  readonly facility: string;
  readonly message: string;
  readonly error?: unknown;
}
interface ErrorValues {
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly stack?: string;
}

function valueText(value: unknown): string {
  if (typeof value === "string") return plain.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value);
}

export function logText(line: string): string {
  const { time, severity, facility, message, error, ...values } = JSON.parse(line) as Line & Record<string, unknown>;
  const pairs = Object.entries(values).map(([key, value]) => ` ${key}=${valueText(value)}`);
  const head = `${time.slice(11, 23)} ${severity.padEnd(8)} ${facility.padEnd(8)} ${message}`;
  return `${head}${pairs.length === 0 ? "" : ` ${pairs.join("")}`}${errorText(error)}\n`;
}

/** On lines of its own: message (CODE), the hint, and the stack when it is a fault of ours. */
function errorText(error: unknown): string {
  if (error === undefined) return "";
  if (typeof error !== "object" || error === null) return ` error=${valueText(error)}`;
  const { message, code, hint, stack } = error as ErrorValues;
  const below = (text: string): string => `\n    ${text.replaceAll("\n", "\n    ")}`;
  const first = below(`${message}${code === undefined ? "" : ` (${code})`}`);
  return `${first}${hint === undefined ? "" : below(`hint: ${hint}`)}${stack === undefined ? "" : below(stack)}`;
}
