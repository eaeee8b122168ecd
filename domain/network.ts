// Addresses as bytes: IPv4, IPv6 and MAC, alone or with a prefix.

/** 4, 6 or 16 bytes with everything behind the prefix zero. */
export interface Network {
  readonly bytes: readonly number[];
  readonly prefix: number;
}

function ipv4(text: string): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.map(Number);
}

function mac(text: string): number[] | undefined {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return text.split(/[:-]/).map((part) => Number.parseInt(part, 16));
}

function groups(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    const tail = i === parts.length - 1 && part.includes(".") ? ipv4(part) : undefined;
    if (tail) bytes.push(...tail);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 255);
    else return undefined;
  }
  return bytes;
}

function ipv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groups);
  if (!head || (halves.length === 2 && !tail)) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  const missing = 16 - head.length - (tail as number[]).length;
  return missing >= 2 ? [...head, ...Array<number>(missing).fill(0), ...(tail as number[])] : undefined;
}

/** Whether only this machine can reach it. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

/** Undefined when the text is no address. Bits behind the prefix are cleared. */
export function parseNetwork(text: string): Network | undefined {
  const [, address, length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (address === undefined) return undefined;
  const bytes = ipv4(address) ?? mac(address) ?? ipv6(address);
  if (!bytes) return undefined;
  const prefix = length === undefined ? bytes.length * 8 : Number(length);
  if (prefix > bytes.length * 8) return undefined;
  return { prefix, bytes: bytes.map((byte, i) => byte & prefixMask(prefix, i)) };
}

/** The mask of byte `i` under a prefix. */
export const prefixMask = (prefix: number, i: number): number =>
  (0xff00 >> Math.max(0, Math.min(8, prefix - i * 8))) & 0xff;

export const within = (bytes: ArrayLike<number>, network: Network): boolean =>
  bytes.length === network.bytes.length &&
  network.bytes.every((byte, i) => ((bytes[i] as number) & prefixMask(network.prefix, i)) === byte);

const pair = (byte: number): string => byte.toString(16).padStart(2, "0");

/** RFC 5952 for IPv6: the first longest run of two or more zero groups becomes "::". */
export function addressText(bytes: ArrayLike<number>): string {
  const list = Array.from(bytes);
  if (list.length === 4) return list.join(".");
  if (list.length === 6) return list.map(pair).join(":");
  const words = Array.from({ length: 8 }, (_, i) => ((list[2 * i] as number) << 8) | (list[2 * i + 1] as number));
  let best = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > longest) [best, longest] = [i, end - i];
    if (end > i) i = end;
  }
  const text = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(":");
  return best < 0 ? text(words) : `${text(words.slice(0, best))}::${text(words.slice(best + longest))}`;
}

export const networkText = ({ bytes, prefix }: Network): string =>
  prefix === bytes.length * 8 ? addressText(bytes) : `${addressText(bytes)}/${prefix}`;
