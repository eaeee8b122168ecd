// The key that signs plans: made once, kept in a Secret, and its public half in a ConfigMap that relays mount. Enters: the API. Leaves: the private key. Who loses
// the Secret gets a new key, and relays that still have the old public half refuse its plans until they are started again: what runs goes on.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { OperatorConfig } from "#domain/operator-config.ts";
import { configMaps, secrets } from "./kinds.ts";
import { hasCode } from "./runtime/api-error.ts";
import type { KubeClient } from "./runtime/client.ts";

const entry = "operator.key";
const publicEntry = "operator.pem";

type Names = Pick<OperatorConfig, "namespace" | "signingKey">;

export async function signingKey(
  client: KubeClient,
  { namespace, signingKey: names }: Names,
  signal: AbortSignal,
): Promise<KeyObject> {
  const name = { namespace, name: names.secret };
  const key =
    (await keptKey(client, { namespace, signingKey: names }, signal)) ?? (await makeKey(client, name, signal));
  const pem = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name: names.publicConfigMap }, data: { [publicEntry]: pem } }; // biome-ignore format: one object
  await client.apply(configMaps, map, { force: true, signal });
  return key;
}

/** Undefined: none was ever made, or somebody took it away. */
export async function keptKey(
  client: KubeClient,
  { namespace, signingKey: names }: Names,
  signal: AbortSignal,
): Promise<KeyObject | undefined> {
  const found = await client.find(secrets, { namespace, name: names.secret }, signal);
  return found && readKey(found.data?.[entry]);
}

const readKey = (data: string | undefined): KeyObject => createPrivateKey(Buffer.from(data ?? "", "base64"));

async function makeKey(client: KubeClient, name: { namespace: string; name: string }, signal: AbortSignal): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const secret = { apiVersion: "v1", kind: "Secret", metadata: name, type: "Opaque", data: { [entry]: Buffer.from(pem).toString("base64") } }; // biome-ignore format: one object
  try {
    await client.create(secrets, secret, signal);
    return privateKey;
  } catch (error) {
    // Somebody else was faster: theirs counts.
    if (!hasCode(error, "KUBE_ALREADY_EXISTS")) throw error;
    return readKey((await client.get(secrets, name, signal)).data?.[entry]);
  }
} // biome-ignore format: the signature
