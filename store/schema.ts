// The tables, as steps from one version to the next. A step once released never changes: add one at the end.
import type { Database } from "better-sqlite3";

/** "Tapl": tells our databases from everybody else's. */
export const applicationId = 0x54_61_70_6c;

// A flow is named by its run and the number of its first packet; every other table refers to it by that pair.
// Times are ns since 1970; protocols and ends are positions in domain/vocabulary.ts, spelled out by the view flow_list.
const first = `
CREATE TABLE runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  options TEXT NOT NULL,
  started_ns INTEGER NOT NULL,
  finished_ns INTEGER,
  complete INTEGER NOT NULL DEFAULT 0,
  looped INTEGER NOT NULL DEFAULT 1,
  format TEXT,
  bytes_read INTEGER,
  packets INTEGER,
  time_reversed INTEGER,
  first_ns INTEGER,
  last_ns INTEGER,
  flows INTEGER,
  gaps INTEGER,
  cap_evictions INTEGER,
  tombstones_dropped INTEGER,
  links_dropped INTEGER,
  settled_early INTEGER,
  threads INTEGER,
  engine_ns INTEGER,
  waited_ns INTEGER,
  peak_flows INTEGER,
  file_error TEXT,
  file_error_offset INTEGER,
  pacing_p50_ns INTEGER,
  pacing_p99_ns INTEGER,
  pacing_max_ns INTEGER
) STRICT;

CREATE TABLE protocols (protocol INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO protocols VALUES (0, 'macsec'), (1, 'esp'), (2, 'ah'), (3, 'tcp'), (4, 'udp');
CREATE TABLE flow_ends (ended INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO flow_ends VALUES (0, 'capture_end'), (1, 'evicted'), (2, 'evicted_cap');
CREATE TABLE link_kinds (kind INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO link_kinds VALUES (0, 'rekey'), (1, 'resumed');

CREATE TABLE flows (
  run INTEGER NOT NULL,
  packet INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  source TEXT NOT NULL,
  destination TEXT NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  packets INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  min_inter_arrival_ns INTEGER NOT NULL,
  max_inter_arrival_ns INTEGER NOT NULL,
  sci TEXT,
  an INTEGER,
  spi INTEGER,
  source_port INTEGER,
  destination_port INTEGER,
  outer_vlan INTEGER,
  inner_vlan INTEGER,
  ipv6 INTEGER NOT NULL DEFAULT 0,
  natt INTEGER NOT NULL DEFAULT 0,
  wrapped INTEGER NOT NULL DEFAULT 0,
  first_sequence INTEGER,
  last_sequence INTEGER,
  expected INTEGER NOT NULL DEFAULT 0,
  unique_packets INTEGER NOT NULL DEFAULT 0,
  reordered INTEGER NOT NULL DEFAULT 0,
  duplicate INTEGER NOT NULL DEFAULT 0,
  late INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0,
  jumps INTEGER NOT NULL DEFAULT 0,
  outliers INTEGER NOT NULL DEFAULT 0,
  restarts INTEGER NOT NULL DEFAULT 0,
  gaps INTEGER NOT NULL DEFAULT 0,
  min_gap INTEGER NOT NULL DEFAULT 0,
  max_gap INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, packet)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
  run INTEGER NOT NULL,
  packet INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  noticed_ns INTEGER NOT NULL,
  confirmed_ns INTEGER NOT NULL,
  jump INTEGER NOT NULL,
  suspect INTEGER NOT NULL,
  PRIMARY KEY (run, packet, segment, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
  run INTEGER NOT NULL,
  packet INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  PRIMARY KEY (run, packet, previous, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
  run INTEGER NOT NULL,
  position INTEGER NOT NULL,
  interface TEXT NOT NULL,
  link_type INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  ring_drops INTEGER NOT NULL,
  in_flight INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  decoded INTEGER NOT NULL,
  tracked INTEGER NOT NULL,
  residue INTEGER NOT NULL,
  PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_reasons (
  run INTEGER NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  packets INTEGER NOT NULL,
  PRIMARY KEY (run, position, kind, reason)
) STRICT, WITHOUT ROWID;

-- The index of the flow list, by column: each row holds the cells of one batch (store/columns.ts) that can be filtered and sorted by.
CREATE TABLE flow_columns (
  run INTEGER NOT NULL,
  part INTEGER NOT NULL,
  flows INTEGER NOT NULL,
  cells BLOB NOT NULL,
  PRIMARY KEY (run, part)
) STRICT;

CREATE VIEW flow_list AS
SELECT f.run || '-' || f.packet AS flow, p.name AS protocol, e.name AS ended, f.source, f.destination, f.sci, f.an,
  printf('0x%08x', f.spi) AS spi, f.source_port, f.destination_port, f.outer_vlan, f.inner_vlan, f.packets, f.bytes, f.lost,
  f.gaps, f.reordered, f.duplicate, f.late,
  strftime('%Y-%m-%dT%H:%M:%S', f.first_ns / 1000000000, 'unixepoch') || printf('.%09dZ', f.first_ns % 1000000000) AS first,
  strftime('%Y-%m-%dT%H:%M:%S', f.last_ns / 1000000000, 'unixepoch') || printf('.%09dZ', f.last_ns % 1000000000) AS last
FROM flows f JOIN protocols p USING (protocol) JOIN flow_ends e USING (ended);
`;

// Sums per protocol, so that a summary of a million flows reads five rows. Kept by the writer in the batch's own transaction.
const totals = `
CREATE TABLE totals (
  run INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  flows INTEGER NOT NULL,
  packets INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  unique_packets INTEGER NOT NULL,
  reordered INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  late INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  pending INTEGER NOT NULL,
  jumps INTEGER NOT NULL,
  outliers INTEGER NOT NULL,
  restarts INTEGER NOT NULL,
  gaps INTEGER NOT NULL,
  max_gap INTEGER NOT NULL,
  PRIMARY KEY (run, protocol)
) STRICT, WITHOUT ROWID;
INSERT INTO totals
SELECT run, protocol, count(*), sum(packets), sum(bytes), min(first_ns), max(last_ns), sum(expected), sum(unique_packets), sum(reordered),
  sum(duplicate), sum(late), sum(lost), sum(pending), sum(jumps), sum(outliers), sum(restarts), sum(gaps), max(max_gap)
FROM flows GROUP BY run, protocol;
`;

// For a run that goes on for months: what was seen up to a moment ago, when nobody looked, and what retention deletes.
// `parts` has a row for each batch that retention may delete: of ended flows (kind 0, cells in flow_columns) and of gaps
// (kind 1, keys in gap_keys). An older run's flows count as stored when it ended.
const unending = `
ALTER TABLE runs ADD COLUMN checkpoint_ns INTEGER;
ALTER TABLE runs ADD COLUMN pruned_flows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN pruned_gaps INTEGER NOT NULL DEFAULT 0;

CREATE TABLE blind (
  run INTEGER NOT NULL,
  since_ns INTEGER NOT NULL,
  interface TEXT NOT NULL,
  reason TEXT NOT NULL,
  until_ns INTEGER NOT NULL,
  PRIMARY KEY (run, since_ns, interface, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE part_kinds (kind INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO part_kinds VALUES (0, 'flows'), (1, 'gaps');
CREATE TABLE parts (
  run INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  part INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  PRIMARY KEY (run, kind, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_age ON parts (stored_ns);
INSERT INTO parts SELECT c.run, 0, c.part, coalesce(r.finished_ns, r.started_ns) FROM flow_columns c JOIN runs r USING (run);

CREATE TABLE gap_keys (
  run INTEGER NOT NULL,
  part INTEGER NOT NULL,
  keys BLOB NOT NULL,
  PRIMARY KEY (run, part)
) STRICT;
`;

const liveEnds = `
INSERT INTO flow_ends VALUES (3, 'active'), (4, 'interrupted');
`;

export const migrations: readonly string[] = [first, totals, unending, liveEnds];
export const schemaVersion = migrations.length;

/** Brings an open database to `target` in one transaction: all of it or nothing. */
export function migrate(db: Database, target = schemaVersion): void {
  const steps = db.transaction(() => {
    // Asked again inside: another process may have done it in the meantime.
    const from = db.pragma("user_version", { simple: true }) as number;
    for (let version = from; version < target; version++) {
      db.exec(migrations[version] as string);
      db.pragma(`user_version = ${version + 1}`);
    }
    if (from === 0) db.pragma(`application_id = ${applicationId}`);
  });
  steps.immediate();
}
