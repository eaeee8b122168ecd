// Addresses of native records as text, quickly: three for every flow that is written.
import { addressText } from "#domain/network.ts";

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const dec = Array.from({ length: 256 }, (_, byte) => String(byte));
const at = (bytes: Uint8Array, offset: number): number => bytes[offset] as number;

export const ipv4Text = (b: Uint8Array, o: number): string =>
  `${dec[at(b, o)]}.${dec[at(b, o + 1)]}.${dec[at(b, o + 2)]}.${dec[at(b, o + 3)]}`;

export const ipv6Text = (b: Uint8Array, o: number): string => addressText(b.subarray(o, o + 16));

export const macText = (b: Uint8Array, o: number): string =>
  `${hex[at(b, o)]}:${hex[at(b, o + 1)]}:${hex[at(b, o + 2)]}:${hex[at(b, o + 3)]}:${hex[at(b, o + 4)]}:${hex[at(b, o + 5)]}`;

/** 16 hex digits: MAC and port, as iproute2 writes it. */
export const sciText = (b: Uint8Array, o: number): string =>
  `${hex[at(b, o)]}${hex[at(b, o + 1)]}${hex[at(b, o + 2)]}${hex[at(b, o + 3)]}${hex[at(b, o + 4)]}${hex[at(b, o + 5)]}${hex[at(b, o + 6)]}${hex[at(b, o + 7)]}`;
