// The pinner of this machine, with the capture's interfaces and drivers as the kernel tells them.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import { HostFiles } from "#host/files.ts";
import { Pinner } from "#host/pinner.ts";
import { driverName } from "#host/ethtool.ts";
import type { Log } from "#process/log.ts";

/** Puts back what a sensor that was killed had changed, and says what became of it. */
export function openPinner(statePath: string, log: Log): Pinner {
  mkdirSync(dirname(statePath), { recursive: true });
  const pinner = new Pinner({
    files: new HostFiles(),
    statePath,
    now: () => BigInt(Date.now()) * 1_000_000n,
    driverName,
  });
  try {
    for (const { name, result, detail } of pinner.recover())
      log.notice("restored a setting of an earlier sensor", { name, result, detail });
  } catch (error) {
    if (!(error instanceof TaplineError) || error.code !== "PINNING_STATE_DAMAGED") throw error;
    log.error("could not restore what an earlier sensor changed", { error });
    pinner.recover();
  }
  return pinner;
}
