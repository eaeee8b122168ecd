// Numbers and keys of tunnel paths. Both are derived from the operator's secret and from what the path is, so that an operator that starts again, or its
// successor, gives the same ones, and nothing needs to be kept. Enters: a rule's uid and a way over hops and nodes. Leaves: the number and key.
import { createHash, createHmac, hkdfSync, type KeyObject } from "node:crypto";

export interface PathSecret {
  readonly path: number;
  /** 16 bytes, as 32 hexadecimal digits */
  readonly key: string;
}

/** From the key that plans are signed with: one secret to keep. Never the same bytes as it. */
export function pathSecret(signingKey: KeyObject, fleet: string): Buffer {
  const seed = signingKey.export({ type: "pkcs8", format: "der" });
  return Buffer.from(hkdfSync("sha256", seed, fleet, "tapline tunnel paths v1", 32));
}

/** One look at all rules: ask for the oldest rule's paths first, for who comes later gives way when two numbers are the same (once in 4 billion pairs). */
export class Paths {
  readonly #secret: Buffer;
  readonly #taken = new Map<number, { readonly owner: string; readonly key: string }>();

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  of(uid: string, way: string): PathSecret {
    for (let turn = 0; ; turn++) {
      const owner = `${uid}|${way}`;
      const path = createHash("sha256").update(`${owner}|${turn}`).digest().readUInt32BE();
      const other = this.#taken.get(path);
      if (path === 0 || (other && other.owner !== owner)) continue;
      const key = createHmac("sha256", this.#secret).update(`${owner}|${path}`).digest("hex").slice(0, 32);
      this.#taken.set(path, { owner, key });
      return { path, key };
    }
  }

  /** Of a path that was asked for before. */
  known(path: number): PathSecret {
    return { path, key: this.#taken.get(path)?.key ?? "" };
  }
}
