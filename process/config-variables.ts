// What only the place where an agent runs can say: ${TAPLINE_NODE} in a text of its configuration is the environment's. Only names that begin so: a configuration is no way to
// other secrets. Enters: parsed YAML. Leaves: the same with the names filled in, and the names that nobody gave.

const variable = /\$\{(TAPLINE_[A-Z_]+)\}/g;

export function filledIn(
  value: unknown,
  environment: Readonly<Record<string, string | undefined>>,
): { readonly value: unknown; readonly missing: readonly string[] } {
  const missing = new Set<string>();
  const fill = (one: unknown): unknown => {
    if (typeof one === "string")
      return one.replaceAll(variable, (text, name: string) => {
        const given = environment[name];
        if (given === undefined || given === "") missing.add(name);
        return given ?? text;
      });
    if (Array.isArray(one)) return one.map(fill);
    if (typeof one !== "object" || one === null) return one;
    return Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, fill(inner)]));
  };
  return { value: fill(value), missing: [...missing] };
}
