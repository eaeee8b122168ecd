// The section `nats` of an agent's configuration in the words of the connection.
import type { NatsAccess } from "#domain/agent-config.ts";
import type { Access } from "./access.ts";

const credentialKinds = {
  credentialsFile: "creds",
  userFile: "user",
  tokenFile: "token",
  nkeySeedFile: "nkey",
} as const;

export function configuredAccess(config: NatsAccess): Access & { readonly servers: readonly string[] } {
  const key = (Object.keys(credentialKinds) as (keyof typeof credentialKinds)[]).find(
    (name) => config[name] !== undefined,
  );
  return {
    servers: config.url,
    ...(key === undefined ? {} : { credentials: { kind: credentialKinds[key], path: config[key] ?? "" } }),
    ...(config.tls === undefined
      ? {}
      : { tls: { ca: config.tls.caFile, cert: config.tls.certFile, key: config.tls.keyFile } }),
  };
}
