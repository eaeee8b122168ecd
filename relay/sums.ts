// Sums and differences of counters that may begin anew: the engines' outlive this process, and a rule's come and go with it.

/** Since the look before; a counter that fell has begun anew. */
export const added = (now: number, before: number | undefined): number =>
  before === undefined || now < before ? now : now - before;

/** Per second. */
export const rate = (count: number, ns: number): number => (ns > 0 ? (count * 1e9) / ns : 0);

export const nonZero = <Reason extends string>(
  counts: Readonly<Partial<Record<Reason, number>>>,
): Partial<Record<Reason, number>> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0)) as Partial<Record<Reason, number>>;

/** By reason, over all; those of 0 are left out. */
export function summed<Reason extends string>(
  all: Iterable<Readonly<Partial<Record<Reason, number>>>>,
): Partial<Record<Reason, number>> {
  const sums: Partial<Record<Reason, number>> = {};
  for (const counts of all)
    for (const reason in counts) {
      const count = counts[reason] ?? 0;
      if (count !== 0) sums[reason] = (sums[reason] ?? 0) + count;
    }
  return sums;
}

export const sumOf = (counts: Readonly<Partial<Record<string, number>>>): number =>
  Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
