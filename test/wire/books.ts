// What an agent says of its packets while it runs, and what its database says afterwards.
import Database from "better-sqlite3";
import type { Agent } from "./agent.ts";

interface LedgerRow {
  readonly interface: string;
  readonly seen: number;
  readonly ring_drops: number;
  readonly delivered: number;
  readonly tracked: number;
  readonly residue: number;
  readonly live: { readonly state: string };
}
/** Of the interface that is first. */
export const ledger = async (agent: Agent): Promise<LedgerRow> => {
  const { interfaces } = await agent.json<{ interfaces: LedgerRow[] }>("/api/v1/ledger");
  const [row] = interfaces;
  if (!row) throw new Error("the ledger is empty");
  return row;
};
/** What the database says after its writer has ended. */
export function database(path: string) {
  const db = new Database(path, { readonly: true });
  try {
    const one = (sql: string): unknown => db.prepare(sql).pluck().get();
    return {
      sound: one("PRAGMA integrity_check"),
      complete: one("SELECT complete FROM runs ORDER BY run DESC LIMIT 1"),
      packets: one("SELECT coalesce(sum(packets), 0) FROM flows") as number,
      flows: one("SELECT count(*) FROM flows"),
      lost: one("SELECT coalesce(sum(lost), 0) FROM flows"),
      gaps: one("SELECT count(*) FROM gaps"),
      suspect: one("SELECT count(*) FROM gaps WHERE suspect = 1"),
      reasons: db.prepare("SELECT DISTINCT reason FROM blind ORDER BY reason").pluck().all(),
      seen: one("SELECT seen FROM ledger ORDER BY run DESC, position LIMIT 1"),
    };
  } finally {
    db.close();
  }
}
