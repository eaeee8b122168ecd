// The operator's public key, from its file.
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";

export function readPublicKey(path: string): KeyObject {
  const unreadable = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("FILE_UNREADABLE", { path, detail }, { cause });
  try {
    const key = createPublicKey(readFileSync(path));
    if (key.asymmetricKeyType !== "ed25519") throw unreadable(`it holds a key of the kind ${key.asymmetricKeyType}`);
    return key;
  } catch (cause) {
    if (cause instanceof TaplineError) throw cause;
    throw unreadable((cause as Error).message, cause);
  }
}
