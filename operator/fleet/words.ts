// Numbers and lists as messages of conditions say them.

/** 1,204 */
export const exact = (count: number): string => count.toLocaleString("en-US");

/** 1,204; 9.1 M: so that what it is a part of does not change with every packet. */
export function about(count: number): string {
  for (const [size, letter] of sizes) if (count >= size) return `${Math.floor((count / size) * 10) / 10} ${letter}`;
  return exact(count);
}
const sizes = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"]] as const; // biome-ignore format: one table

const mostListed = 5;
/** a, b, c and 4 more */
export const listed = (names: readonly string[]): string =>
  names.length > mostListed
    ? `${names.slice(0, mostListed).join(", ")} and ${names.length - mostListed} more`
    : names.join(", ");

/** The fullest reason first. */
export const byReasonText = (counts: Readonly<Partial<Record<string, number>>>): string =>
  Object.entries(counts)
    .toSorted(([, a = 0], [, b = 0]) => b - a)
    .map(([reason]) => reason)
    .join(", ");
