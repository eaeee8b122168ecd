// IP addresses as text and bytes, and what kind of address one is.
import { parseNetwork } from "./network.ts";

/** 4 or 16 bytes; undefined when it is no IP address, or has a prefix or zone. */
export function parseAddress(text: string): readonly number[] | undefined {
  if (text.includes("/")) return undefined;
  const bytes = parseNetwork(text)?.bytes;
  return bytes && bytes.length !== 6 ? bytes : undefined;
}

export type AddressKind =
  | "group"
  | "link-local group"
  | "unicast"
  | "unspecified"
  | "loopback"
  | "broadcast"
  | "reserved"
  | "IPv4-mapped";

/** Undefined when the text is no IP address. */
export function addressKind(text: string): AddressKind | undefined {
  const bytes = parseAddress(text);
  if (!bytes) return undefined;
  return bytes.length === 4 ? kindOf4(bytes) : kindOf6(bytes);
}

function kindOf4(bytes: readonly number[]): AddressKind {
  const [first = 0, second, third] = bytes;
  if (bytes.every((byte) => byte === 255)) return "broadcast";
  if (first === 224 && second === 0 && third === 0) return "link-local group"; // RFC 5771: 224.0.0.0/24
  if (first >= 224 && first < 240) return "group";
  if (first >= 240) return "reserved";
  if (first === 127) return "loopback";
  return first === 0 ? "unspecified" : "unicast";
}

function kindOf6(bytes: readonly number[]): AddressKind {
  const zeros = (from: number, end: number): boolean => bytes.slice(from, end).every((byte) => byte === 0);
  // RFC 4291, 2.7: the second half of the second byte is the scope; 0 to 2 do not leave a link.
  if (bytes[0] === 0xff) return ((bytes[1] ?? 0) & 0x0f) <= 2 ? "link-local group" : "group";
  if (zeros(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff) return "IPv4-mapped";
  if (zeros(0, 15)) return bytes[15] === 0 ? "unspecified" : bytes[15] === 1 ? "loopback" : "unicast";
  return "unicast";
}

/** RFC 1112, RFC 2464: the MAC address that a group's packets have. */
export function groupMac(bytes: ArrayLike<number>): Uint8Array {
  if (bytes.length === 4)
    return Uint8Array.of(0x01, 0x00, 0x5e, (bytes[1] as number) & 0x7f, bytes[2] as number, bytes[3] as number);
  return Uint8Array.of(0x33, 0x33, ...Array.from({ length: 4 }, (_, i) => bytes[12 + i] as number));
}

export const isGroup = (bytes: ArrayLike<number>): boolean =>
  bytes.length === 4 ? ((bytes[0] as number) & 0xf0) === 0xe0 : bytes[0] === 0xff;
