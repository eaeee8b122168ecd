// CPU numbers as the kernel writes them: lists ("0-3,8") and masks of 32-bit groups, highest first ("ff,ffffffff").
// A set of CPUs is a sorted array without repetitions, everywhere in host/.

/** Above any kernel's CONFIG_NR_CPUS: a larger number in a configuration is a slip, and a range up to it would fill memory. */
const highest = 8191;

const sorted = (cpus: Iterable<number>): number[] => [...new Set(cpus)].toSorted((a, b) => a - b);

/** Undefined when the text is no list. The empty text is the empty set. */
export function parseCpuList(text: string): number[] | undefined {
  // "(null)" is what some kernels print for nohz_full when it was never set.
  if (text.trim() === "" || text.trim() === "(null)") return [];
  const cpus: number[] = [];
  for (const part of text.trim().split(",")) {
    const [, from, to] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
    if (from === undefined) return undefined;
    const first = Number(from);
    const last = to === undefined ? first : Number(to);
    if (last < first || last > highest) return undefined;
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return sorted(cpus);
}

export function cpuListText(cpus: Iterable<number>): string {
  const list = sorted(cpus);
  const parts: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const first = list[i] as number;
    let last = first;
    while (list[i + 1] === last + 1) last = list[++i] as number;
    parts.push(first === last ? `${first}` : `${first}-${last}`);
  }
  return parts.join(",");
}

/** Undefined when the text is no mask. */
export function parseCpuMask(text: string): number[] | undefined {
  const groups = text.trim().split(",");
  if (!groups.every((group) => /^[0-9a-f]{1,8}$/i.test(group))) return undefined;
  return groups.toReversed().flatMap((group, index) => {
    const bits = Number.parseInt(group, 16);
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => (bits >>> bit) & 1)
      .map((bit) => index * 32 + bit);
  });
}

/** The kernel takes short masks: groups above the highest CPU are left out. */
export function cpuMaskText(cpus: Iterable<number>): string {
  const list = sorted(cpus);
  const groups = new Uint32Array(Math.floor((list.at(-1) ?? 0) / 32) + 1);
  for (const cpu of list) groups[cpu >>> 5] = ((groups[cpu >>> 5] as number) | (1 << (cpu & 31))) >>> 0;
  const [first = 0, ...rest] = Array.from(groups).toReversed();
  return [first.toString(16), ...rest.map((group) => group.toString(16).padStart(8, "0"))].join(",");
}

export const intersection = (a: readonly number[], b: readonly number[]): number[] => {
  const other = new Set(b);
  return a.filter((cpu) => other.has(cpu));
};

export const difference = (a: readonly number[], b: readonly number[]): number[] => {
  const other = new Set(b);
  return a.filter((cpu) => !other.has(cpu));
};
