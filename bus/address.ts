// The address of a NATS server, as configured: nats://host:4222, tls://host:4222, host, host:4222.
import { TaplineError } from "#domain/errors.ts";

export interface ServerAddress {
  /** host:port, as told to people and to the client */
  readonly text: string;
  readonly host: string;
  /** it said tls:// */
  readonly encrypted: boolean;
}

const defaultPort = "4222";

export function parseServer(address: string): ServerAddress {
  // An address may hold a password: what is told leaves it out.
  const bad = (detail: string): TaplineError =>
    new TaplineError("BUS_BAD_ADDRESS", { address: address.replace(/\/\/.*@/, "//***@"), detail });
  const [, scheme = "nats", rest = ""] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/i.exec(address.trim()) ?? [];
  if (!["nats", "tls"].includes(scheme.toLowerCase())) throw bad(`${scheme}:// is not spoken here`);
  // As the authority of a scheme without rules of its own: no port is swallowed as the usual one.
  const url = URL.parse(`nats://${rest}`);
  if (!url || url.hostname === "") throw bad("there is no host in it");
  if (url.username !== "" || url.password !== "") throw bad("there are user and password in it");
  if (!["", "/"].includes(url.pathname) || url.search !== "" || url.hash !== "")
    throw bad("something follows the port");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    text: `${url.hostname}:${url.port || defaultPort}`,
    host,
    encrypted: scheme.toLowerCase() === "tls",
  };
}
