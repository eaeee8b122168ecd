// Fields as the API names them in a conflict: .spec.template.spec.containers[name="agent"].image. Enters: such a path and an object. Leaves: the object
// without that field. Pure. Names may have dots in them (labels): of several that fit, the longest is meant.

type Json = Record<string, unknown>;
const isMap = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

/** Undefined when the object has no such field. */
export function without(object: Json, path: string): Json | undefined {
  const copy = structuredClone(object);
  return remove(copy, path) ? copy : undefined;
}

function remove(value: unknown, path: string): boolean {
  if (path.startsWith(".") && isMap(value)) {
    const names = Object.keys(value)
      .filter((name) => path.startsWith(`.${name}`) && /^($|[.[])/.test(path.slice(name.length + 1)))
      .sort((one, other) => other.length - one.length);
    for (const name of names) {
      const rest = path.slice(name.length + 1);
      if (rest === "") return delete value[name];
      if (remove(value[name], rest)) return true;
    }
    return false;
  }
  if (!path.startsWith("[") || !Array.isArray(value)) return false;
  const end = closing(path);
  const index = value.findIndex(itemNamed(path.slice(1, end)));
  if (index < 0) return false;
  const rest = path.slice(end + 1);
  if (rest !== "") return remove(value[index], rest);
  value.splice(index, 1);
  return true;
}

/** The bracket that closes the first one; those within quotes do not count. */
function closing(path: string): number {
  const [whole] = /^\[(?:"(?:[^"\\]|\\.)*"|[^\]"])*\]/.exec(path) ?? ["["];
  return whole.length - 1;
}

/** `name="agent",port=80` an item by its keys, `="value"` a set's, `3` by its place. */
function itemNamed(text: string): (item: unknown, index: number) => boolean {
  if (text.startsWith("=")) return (item) => JSON.stringify(item) === text.slice(1);
  if (/^\d+$/.test(text)) return (_, index) => index === Number(text);
  const keys = [...text.matchAll(/([^=,]+)=("(?:[^"\\]|\\.)*"|[^,]+)/g)];
  return (item) => isMap(item) && keys.every(([, key = "", value]) => JSON.stringify(item[key]) === value);
}
