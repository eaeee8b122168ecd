// The import directions: domain ← native, store, bus, host, process ← api ← sensor, relay, operator, console ← cli.
// Enters: a file's path and text. Leaves: the imports in it that its layer may not have.
import { posix } from "node:path";

const foundation = ["native", "store", "bus", "host", "process"];
const processes = ["sensor", "relay", "operator", "console"];

/** What each folder may import besides itself. A folder that is not listed is nobody's to import, and may import all. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  ...Object.fromEntries(foundation.map((layer) => [layer, ["domain"]])),
  host: ["domain", "native"],
  api: ["domain", ...foundation],
  ...Object.fromEntries(processes.map((layer) => [layer, ["domain", ...foundation, "api"]])),
  cli: ["domain", ...foundation, "api", ...processes],
};

const specifiers =
  /(?:^|[\s;}])(?:import|export)\s*(?:type\s)?(?:[\w*{][^"';]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g;
const comments = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

/** The folder at the top that an import leads to; undefined for a package. */
function target(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("#")) return specifier.slice(1).split("/")[0];
  if (specifier.startsWith(".")) return posix.join(posix.dirname(file), specifier).split("/")[0];
  return undefined;
}

export function forbiddenImports(file: string, text: string): string[] {
  const layer = file.split("/")[0] ?? "";
  const test = file.endsWith(".test.ts");
  const found: string[] = [];
  for (const match of text.replace(comments, "").matchAll(specifiers)) {
    const specifier = match[1] ?? match[2] ?? "";
    const to = target(file, specifier);
    if (to === undefined) {
      if (layer === "domain" && !test && specifier !== "zod")
        found.push(`${file}: domain may import only zod, not ${specifier}`);
    } else if (to !== layer && allowed[layer] !== undefined && !allowed[layer].includes(to)) {
      found.push(`${file}: ${layer} may not import ${specifier} (only ${allowed[layer].join(", ") || "zod"})`);
    }
  }
  return found;
}
