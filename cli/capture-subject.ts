// What of ours is measured, described in one place: how it is started, what runs beside it, which of its threads are the
// engine, and where its results are read.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openForReading } from "#store/open.ts";
import { ringMiB, type Peer, type Place } from "./capture-peers.ts";

const command = fileURLToPath(new URL("../bin/tapline", import.meta.url));
const databaseOf = (folder: string): string => join(folder, "results.db");

/** What it found, by its database after its end. */
export interface Result {
  readonly seen: number;
  readonly ringDrops: number;
  readonly residue: number;
  readonly inFlight: number;
  readonly flows: number;
  /** numbers lost, and runs of them */
  readonly lost: number;
  readonly gaps: number;
  readonly suspect: number;
  /** when a ring was full */
  readonly full: readonly { readonly afterSeconds: number; readonly ms: number }[];
}

export function resultOf(folder: string): Result {
  const db = openForReading(databaseOf(folder));
  try {
    const sums = db
      .prepare<[], Omit<Result, "full">>(
        `SELECT sum(seen) AS seen, sum(ring_drops) AS ringDrops, sum(residue) AS residue, sum(in_flight) AS inFlight,
           (SELECT ifnull(sum(flows), 0) FROM totals) AS flows, (SELECT ifnull(sum(lost), 0) FROM totals) AS lost,
           (SELECT count(*) FROM gaps) AS gaps, (SELECT count(*) FROM gaps WHERE suspect = 1) AS suspect
         FROM ledger`,
      )
      .get() as Omit<Result, "full">;
    const full = db
      .prepare<[], Result["full"][number]>(
        `SELECT (b.since_ns - r.started_ns) / 1e9 AS afterSeconds, (b.until_ns - b.since_ns) / 1e6 AS ms
         FROM blind b JOIN runs r USING (run) WHERE b.reason = 'ring_full' ORDER BY b.since_ns LIMIT 8`,
      )
      .all();
    return { ...sums, full };
  } finally {
    db.close();
  }
}

export interface Subject extends Peer {
  /** its files that grow with what it finds, the database and its log */
  readonly files: (folder: string) => readonly string[];
  /** so far, asked while it runs, where it can be asked */
  readonly ringDrops?: (place: Place) => number;
}

const files = (folder: string): string[] => ["", "-wal"].map((end) => databaseOf(folder) + end);
const count: Peer["count"] = (_, { folder }) => {
  const { seen, ringDrops } = resultOf(folder);
  return { seen, dropped: ringDrops };
};
/** A thread of the engine either has a name of its own or, unnamed, that of the thread which made it. */
const carries: NonNullable<Peer["carries"]> = ({ id, name }, pid) =>
  id !== pid && /^(MainThread|node|capture|tapline)/.test(name);

/** The capture at the command line: one database, nothing else. */
const analyze: Subject = {
  name: "tapline analyze",
  settings: `tapline analyze INTERFACE results.db --ring ${ringMiB}: flows, gaps, SQLite`,
  kinds: ["macsec", "mixed"],
  command: ({ wire, folder }) => [
    command,
    "analyze",
    wire.far,
    databaseOf(folder),
    "--ring",
    String(ringMiB),
    "--json",
  ],
  carries,
  count,
  files,
};

const config = ({ wire, folder }: Place): string => `name: bench
interfaces: [{ name: ${wire.far} }]
capture: { ring: { blockKiB: 1024, blocks: ${ringMiB}, retireMs: 10 } }
analysis: { maxFlows: 1500000 }
store: { path: ${databaseOf(folder)} }
nats: { url: "nats://127.0.0.1:4222" }
api: { port: 3001 }
metrics: { port: 9464 }
profiling: { port: 6060 }
`;
const scrapeSeconds = 5;
const metricsUrl = "http://127.0.0.1:9464/metrics";

/** The sum of a metric over its labels, as a scrape from inside the namespace reads it. */
function metric({ wire }: Place, name: string): number {
  const text = wire.said("curl", "-sS", "--max-time", "5", metricsUrl);
  const values = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** The agent with every sink on. All of it lies in the interface's namespace, whose loopback is its own. */
const sensor: Subject = {
  name: "tapline sensor",
  settings: `tapline sensor, ring ${ringMiB} MiB: flows, gaps, SQLite, NATS with JetStream, REST, /metrics read every ${scrapeSeconds} s`,
  kinds: ["macsec", "mixed"],
  companions: async ({ wire, folder }) => {
    const nats = wire.start(["nats-server", "-a", "127.0.0.1", "-js", "-sd", join(folder, "jetstream")], false);
    for (let i = 0; !nats.stderr.includes("Server is ready"); i++) {
      if (nats.over || i === 100) throw nats.failure("it did not become ready");
      await sleep(50);
    }
    const scrape = `while sleep ${scrapeSeconds}; do curl -s -o /dev/null ${metricsUrl}; done`;
    return [nats, wire.start(["sh", "-c", scrape], false)];
  },
  command: (place) => {
    const path = join(place.folder, "sensor.yaml");
    writeFileSync(path, config(place));
    return [command, "sensor", "--config", path];
  },
  carries,
  count,
  files,
  ringDrops: (place) => metric(place, "tapline_sensor_ring_dropped_packets_total"),
};

export const subjects = { analyze, sensor } as const;
export type SubjectName = keyof typeof subjects;
