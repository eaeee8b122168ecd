// An interface's settings through the engine, with the catalogue's errors; the parts that a driver lacks stay marked.
import { TaplineError, type ErrorCode } from "#domain/errors.ts";
import { engine, type Ethtool, type Part } from "#native/engine.ts";
import { losses } from "./ethtool-values.ts";

const codes: readonly ErrorCode[] = ["INTERFACE_NOT_FOUND", "ETHTOOL_NOT_PERMITTED", "ETHTOOL_FAILED"];

export function withInterface<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { code, detail = "" } = (error ?? {}) as { readonly code?: string; readonly detail?: string };
    const known = codes.find((one) => one === code);
    throw known === undefined ? error : new TaplineError(known, { path, detail }, { cause: error });
  }
}

export const readEthtool = (name: string): Ethtool => withInterface(name, () => engine().ethtool(name));

export const supported = <T>(part: Part<T>): T | undefined => ("value" in part ? part.value : undefined);

/** What the driver says it dropped of what arrived: its own counters, by its own names. */
export function driverLosses({ statistics }: Pick<Ethtool, "statistics">): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(supported(statistics) ?? {}).filter(([name]) => losses.test(name)));
}
