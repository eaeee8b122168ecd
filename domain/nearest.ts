// The name somebody meant: the nearest of a closed list by edit distance (Levenshtein).

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[b.length] as number;
}

/** block_kib and blockKiB are the same word in two habits. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, "");

/** Undefined when none is near: a wrong guess is worse than the list. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  if (typed.length > 64) return undefined;
  const word = plain(typed);
  if (word === "") return undefined;
  const far = (name: string): number => {
    const other = plain(name);
    return word !== other && (other.startsWith(word) || word.startsWith(other)) ? 1 : distance(word, other);
  };
  const [near] = names.map((name) => ({ name, far: far(name) })).sort((a, b) => a.far - b.far);
  return near && near.far <= 2 && near.far < near.name.length ? near.name : undefined;
}
