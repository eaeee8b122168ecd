// A JSON log line as people read it: 10:00:00.123 warning  capture   lost the interface  interface=eth1 since="2 s"

const plain = /^[\w.:/@%+-]+$/;

function valueText(value: unknown): string {
  if (typeof value === "string") return plain.test(value) ? value : JSON.stringify(value);
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

export function logText(line: string): string {
  const { time, severity, facility, message, error, ...values } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(values).map(([key, value]) => ` ${key}=${valueText(value)}`);
  const head = `${String(time).slice(11, 23)} ${String(severity).padEnd(8)} ${String(facility).padEnd(8)} ${String(message)}`;
  return `${head}${pairs.length === 0 ? "" : ` ${pairs.join("")}`}${errorText(error)}\n`;
}

/** On lines of its own: message (CODE), the hint, and the stack when it is a fault of ours. */
function errorText(error: unknown): string {
  if (error === undefined) return "";
  if (typeof error !== "object" || error === null) return ` error=${valueText(error)}`;
  const { message, code, hint, stack } = error as Readonly<Record<string, unknown>>;
  const below = (text: string): string => `\n    ${text.replaceAll("\n", "\n    ")}`;
  const first = below(`${String(message)}${code === undefined ? "" : ` (${String(code)})`}`);
  return `${first}${hint === undefined ? "" : below(`hint: ${String(hint)}`)}${stack === undefined ? "" : below(String(stack))}`;
}
