// Files of tokens, keys and credentials. Enters: their paths. Leaves: those that other users may read or write.
import { statSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";

/** What an agent's configuration may name. */
export interface NamesSecrets {
  readonly api?: { readonly tokenFile?: string | undefined } | undefined;
  readonly nats?:
    | {
        readonly credentialsFile?: string | undefined;
        readonly userFile?: string | undefined;
        readonly tokenFile?: string | undefined;
        readonly nkeySeedFile?: string | undefined;
        readonly tls?: { readonly keyFile?: string | undefined } | undefined;
      }
    | undefined;
}

/** Files that nobody else should read. */
export const secretFiles = ({ api, nats }: NamesSecrets): string[] =>
  [
    api?.tokenFile,
    nats?.credentialsFile,
    nats?.userFile,
    nats?.tokenFile,
    nats?.nkeySeedFile,
    nats?.tls?.keyFile,
  ].filter((path) => path !== undefined);

const others = { read: 0o004, written: 0o002 } as const;

export function exposedSecrets(paths: readonly string[]): TaplineError[] {
  return paths.flatMap((path) => {
    const mode = modeOf(path);
    const access = Object.entries(others).flatMap(([word, bit]) => ((mode & bit) === 0 ? [] : [word]));
    return access.length === 0 ? [] : [new TaplineError("SECRET_EXPOSED", { path, access: access.join(" and ") })];
  });
}

/** 0 of one that cannot be looked at: whoever needs it tells of that. */
function modeOf(path: string): number {
  try {
    return statSync(path).mode;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) return 0;
    throw error;
  }
}
