// Who we are to NATS, and whom we trust: files of credentials and certificates, read anew for every attempt to connect, so that a
// rotated secret needs no restart. Enters: paths. Leaves: options of the client.
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import {
  type Authenticator,
  type ConnectionOptions,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "nats";
import { TaplineError } from "#domain/errors.ts";
import type { ServerAddress } from "./address.ts";

/** creds: JWT and seed as nsc writes them; user: `user:password` on one line; token; nkey: a seed (SU…). */
export interface CredentialsFile {
  readonly kind: "creds" | "user" | "token" | "nkey";
  readonly path: string;
}
/** PEM files. `ca` when the server's certificate is not signed by a public one; `cert` and `key` when the server verifies clients. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}
export interface Access {
  readonly credentials?: CredentialsFile | undefined;
  readonly tls?: TlsFiles | undefined;
}

const made: Readonly<Record<CredentialsFile["kind"], (text: string) => Authenticator>> = {
  creds: (text) => credsAuthenticator(new TextEncoder().encode(text)),
  user: (text) => {
    const [, user, password] = /^([^:\s]+):(.+)$/.exec(text.trim()) ?? [];
    if (user === undefined || password === undefined) throw new Error("it is not user:password on one line");
    return usernamePasswordAuthenticator(user, password);
  },
  token: (text) => {
    if (!/^\S+$/.test(text.trim())) throw new Error("it is not one token on one line");
    return tokenAuthenticator(text.trim());
  },
  nkey: (text) => nkeyAuthenticator(new TextEncoder().encode(text.trim())),
};

async function authenticator({ kind, path }: CredentialsFile): Promise<Authenticator> {
  try {
    const found = made[kind](await readFile(path, "utf8"));
    found("a nonce"); // signs once: a broken seed or creds file is found here, where it can be told, and not within the client
    return found;
  } catch (cause) {
    throw new TaplineError("BUS_CREDENTIALS_UNUSABLE", { kind, path, detail: (cause as Error).message }, { cause });
  }
}

async function certificates(files: TlsFiles, servers: string): Promise<NonNullable<ConnectionOptions["tls"]>> {
  try {
    const read = async (path: string | undefined) => (path === undefined ? undefined : await readFile(path, "utf8"));
    const [ca, cert, key] = await Promise.all([read(files.ca), read(files.cert), read(files.key)]);
    const found = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    createSecureContext(found); // no PEM, or a key that is not the certificate's: told here
    return found;
  } catch (cause) {
    throw new TaplineError("BUS_TLS_FAILED", { servers, detail: (cause as Error).message }, { cause });
  }
}

/** Options for one server. */
export async function accessOptions({ credentials, tls }: Access, server: ServerAddress): Promise<ConnectionOptions> {
  const found = tls ? await certificates(tls, server.text) : {};
  // The client leaves the name to Node, which for an address without a name verifies "localhost".
  const identity = isIP(server.host) === 0 ? { servername: server.host } : { host: server.host };
  return {
    ...(credentials ? { authenticator: await authenticator(credentials) } : {}),
    // tls as an option means: refuse a server without TLS. Without it TLS is used where the server offers it, unless it is null.
    ...(tls || server.encrypted ? { tls: { ...found, ...identity } } : {}),
  };
}
