// Addresses between the bytes of a record and the text that people read.

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const dec = Array.from({ length: 256 }, (_, byte) => String(byte));
const at = (bytes: Uint8Array, offset: number): number => bytes[offset] as number;

export const ipv4Text = (b: Uint8Array, o: number): string => `${dec[at(b, o)]}.${dec[at(b, o + 1)]}.${dec[at(b, o + 2)]}.${dec[at(b, o + 3)]}`;

export const macText = (b: Uint8Array, o: number): string =>
  `${hex[at(b, o)]}:${hex[at(b, o + 1)]}:${hex[at(b, o + 2)]}:${hex[at(b, o + 3)]}:${hex[at(b, o + 4)]}:${hex[at(b, o + 5)]}`;

/** 16 hex digits: MAC and port, as iproute2 writes it. */
export const sciText = (b: Uint8Array, o: number): string =>
  `${hex[at(b, o)]}${hex[at(b, o + 1)]}${hex[at(b, o + 2)]}${hex[at(b, o + 3)]}${hex[at(b, o + 4)]}${hex[at(b, o + 5)]}${hex[at(b, o + 6)]}${hex[at(b, o + 7)]}`;

/** RFC 5952: the longest run of two or more zero groups becomes "::". */
export function ipv6Text(b: Uint8Array, o: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => (at(b, o + 2 * i) << 8) | at(b, o + 2 * i + 1));
  let best = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > longest) [best, longest] = [i, end - i];
    if (end > i) i = end;
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  return best < 0 ? text(groups) : `${text(groups.slice(0, best))}::${text(groups.slice(best + longest))}`;
}
