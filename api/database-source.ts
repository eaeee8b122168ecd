// A Source over one database file.
import { StoreReader, type ReaderLimits } from "#store/reader.ts";
import type { Source } from "./source.ts";

export async function openDatabase(path: string, limits: ReaderLimits = {}): Promise<Source> {
  const reader = await StoreReader.open(path, { ...limits, presenter: new URL("./flows-text.ts", import.meta.url) });
  try {
    await reader.ask("warm");
  } catch (error) {
    await reader.close();
    throw error;
  }
  return {
    runs: (limit, before) => reader.ask("runs", limit, before),
    run: (run) => reader.ask("run", run),
    chooseRuns: (wanted, filter) => reader.ask("chooseRuns", wanted, filter),
    totals: (runs) => reader.ask("totals", runs),
    flowText: (query) => reader.flowText(query),
    flow: (run, packet) => reader.ask("flow", run, packet),
    gapsOfFlow: (run, packet, after, limit) => reader.ask("gapsOfFlow", run, packet, after, limit),
    gaps: (runs, after, limit) => reader.ask("gaps", runs, after, limit),
    blinds: (runs, after, limit) => reader.ask("blinds", runs, after, limit),
    ledger: (runs) => reader.ask("ledger", runs),
    close: () => reader.close(),
  };
}
