// The result of `tapline analyze`: one text for people, one object for machines.
import { cellOffsets, flowRecord } from "#domain/records.ts";
import { timeText } from "#domain/time.ts";
import { sequencedProtocols } from "#domain/vocabulary.ts";
import type { AnalysisSummary, LedgerCounts, PortCounts } from "#domain/analysis.ts";
import type { ReplayMode } from "#native/engine.ts";
import type { Finished } from "#sensor/analyze.ts";
import { flowName } from "#sensor/flow-name.ts";
import type { FlowCells, ProtocolTotals } from "#sensor/tally.ts";
import { flowLabel, protocolName } from "./flow-label.ts";
import { bitRate, bytes, duration, grouped, packetRate, percent } from "./numbers.ts";
import { styled, table, type Cell, type Column } from "./table.ts";
import { verdictText, type Verdict } from "./verdict.ts";

export interface Result {
  readonly capture: string;
  readonly database: string;
  readonly mode: ReplayMode | "live";
  readonly finished: Finished;
  readonly verdict?: Verdict;
}

const at = cellOffsets(flowRecord);
const cell = (flow: FlowCells, name: keyof typeof at): number => flow.numbers[at[name]] ?? 0;
const protocolOf = (flow: FlowCells): string => protocolName(flowName(flow));
const followsNumbers = (name: string): boolean => (sequencedProtocols as readonly string[]).includes(name);

const perSecond = (amount: number, ns: number): number => (ns > 0 ? amount / (ns / 1e9) : 0);
const captureNs = (summary: AnalysisSummary): number => Number(summary.lastTimeNs - summary.firstTimeNs);
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const residueOf = (summary: AnalysisSummary): number => sum(summary.ledger.map((entry) => entry.residue));

const number = (title: string): Column => ({ title, align: "right" });
const text = (title: string): Column => ({ title, align: "left" });
const noticed = (value: number, shown = grouped(value)): Cell => (value === 0 ? shown : { text: shown, mood: "bad" });
const quietZero = (value: number): Cell => (value === 0 ? { text: "0", mood: "quiet" } : grouped(value));

function protocolTable(totals: ReadonlyMap<string, ProtocolTotals>): string {
  const columns = [
    text("protocol"),
    ...["flows", "packets", "bytes", "lost", "loss", "gaps", "reordered", "duplicate", "late"].map(number),
  ];
  const row = ([name, t]: readonly [string, ProtocolTotals]): Cell[] => {
    const counted = [name, grouped(t.flows), grouped(t.packets), grouped(t.bytes)];
    // TCP and UDP carry no number that would tell: a 0 there would claim something.
    if (!followsNumbers(name))
      return [...counted, ...Array.from({ length: 6 }, (): Cell => ({ text: "–", mood: "quiet" }))];
    return [
      ...counted,
      noticed(t.lost),
      noticed(t.lost, percent(t.lost, t.expected)),
      quietZero(t.gaps),
      quietZero(t.reordered),
      quietZero(t.duplicate),
      quietZero(t.late),
    ];
  };
  return table(columns, [...totals].map(row));
}

function ledgerTable(ledger: readonly LedgerCounts[], live: boolean): string {
  const columns = [
    text("interface"),
    ...["seen", ...(live ? ["ring drops"] : []), "decoded", "tracked", "untracked", "undecodable", "residue"].map(
      number,
    ),
  ];
  return table(
    columns,
    ledger.map((entry) => [
      entry.interface === "" ? "–" : entry.interface,
      grouped(entry.seen),
      ...(live ? [noticed(entry.ringDrops)] : []),
      grouped(entry.decoded),
      grouped(entry.tracked),
      quietZero(sum(Object.values(entry.untracked))),
      noticed(sum(Object.values(entry.undecodable))),
      entry.residue === 0 ? { text: "0", mood: "good" } : noticed(entry.residue),
    ]),
  );
}

/** Why packets are in no flow: at most one line per kind. */
function reasonLines(ledger: readonly LedgerCounts[]): string[] {
  return (["untracked", "undecodable"] as const).flatMap((kind) => {
    const reasons = new Map<string, number>();
    for (const entry of ledger) {
      for (const [reason, packets] of Object.entries(entry[kind]))
        reasons.set(reason, (reasons.get(reason) ?? 0) + packets);
    }
    const present = [...reasons].filter(([, packets]) => packets > 0).toSorted((a, b) => b[1] - a[1]);
    return present.length === 0
      ? []
      : [`  ${kind}: ${present.map(([reason, packets]) => `${reason} ${grouped(packets)}`).join(", ")}`];
  });
}

const worstTable = (worst: readonly FlowCells[]): string =>
  table(
    [text("flow"), text("protocol"), text("endpoints"), ...["lost", "loss", "gaps", "largest gap"].map(number)],
    worst.map((flow) => [
      grouped(cell(flow, "packet")),
      protocolOf(flow),
      flowLabel(flowName(flow)),
      noticed(cell(flow, "lost")),
      noticed(cell(flow, "lost"), percent(cell(flow, "lost"), cell(flow, "expected"))),
      grouped(cell(flow, "gaps")),
      grouped(cell(flow, "max_gap")),
    ]),
  );

function speedLines({ mode, finished: { summary, wallNs } }: Result): string[] {
  if (mode === "live")
    return [
      `live     ${duration(summary.engineNs)}, ${packetRate(perSecond(summary.packets, summary.engineNs))} on average on ${summary.threads} thread${summary.threads === 1 ? "" : "s"}`,
    ];
  const of = (ns: number): string => `${duration(ns)}, ${packetRate(perSecond(summary.packets, ns))}`;
  const threads = `${summary.threads} thread${summary.threads === 1 ? "" : "s"}`;
  const waited =
    summary.waitedNs > summary.engineNs / 20 ? `, ${duration(summary.waitedNs)} of it waiting for the database` : "";
  const lines = [
    `engine   ${of(summary.engineNs)}, ${bitRate(perSecond(summary.bytesRead * 8, summary.engineNs))} of file on ${threads}${waited}`,
    `whole    ${of(wallNs)}: reading, analyzing and storing`,
  ];
  if (summary.pacing !== undefined) {
    const { p50Ns, p99Ns, maxNs } = summary.pacing;
    lines.push(
      `pacing   mode ${mode}: packets were late by p50 ${duration(p50Ns)}, p99 ${duration(p99Ns)}, at most ${duration(maxNs)}`,
    );
  }
  return lines;
}

function noteLines({ finished: { summary } }: Result): string[] {
  const note = (value: number, says: string): string[] => (value === 0 ? [] : [`${grouped(value)} ${says}`]);
  const ports = summary.ledger.filter(isPort);
  const dropped = sum(summary.ledger.map((entry) => entry.captureDrops));
  return [
    ...note(
      dropped,
      "packets were dropped by the program that made the capture, by its own account: gaps may be its doing",
    ),
    ...ports.flatMap((port) => [
      ...note(
        port.ringDrops,
        `packets on ${port.interface} found the ring full ${grouped(port.ringFull)} times: gaps across them are suspect, not the network's. A larger --ring or more --threads helps`,
      ),
      ...note(
        port.superPackets,
        `frames on ${port.interface} were merged by an offload; their flows count the ${grouped(port.segments)} packets in them`,
      ),
      ...(port.ringLocked ? [] : [`The ring on ${port.interface} could not be locked in memory: raise RLIMIT_MEMLOCK`]),
    ]),
    ...(summary.complete ? [] : ["This run is incomplete: the reading ended before the file did."]),
    ...(summary.looped > 1
      ? [`The file was read ${summary.looped} times: these figures count each reading, and the rate is that of a loop.`]
      : []),
    ...note(
      summary.timeReversed,
      "packets had a time before that of a packet already read (the clock does not go back)",
    ),
    ...note(
      summary.capEvictions,
      "flows were ended early to stay within --max-flows: results may depend on the number of threads",
    ),
    ...note(summary.settledEarly, "unseen numbers were counted lost before --settle was over, for want of memory"),
    ...note(
      summary.tombstonesDropped,
      "ended flows were forgotten: if they came back, the outage between is not in the figures",
    ),
    ...note(summary.linksDropped, "links between flows were left out, for want of memory"),
  ];
}

export function resultText(result: Result): string {
  const { capture, database, finished, verdict } = result;
  const { summary, tally, run } = finished;
  const span = captureNs(summary);
  const title = (words: string): string => styled(words, "strong");
  return [
    `${title(capture)}: ${grouped(summary.packets)} packets in ${grouped(summary.flows)} flows over ${duration(span)} of capture (${summary.format}, ${bytes(summary.bytesRead)})`,
    ...(tally.flows === 0 ? [] : ["", protocolTable(tally.byProtocol)]),
    ...(tally.worst.length === 0 ? [] : ["", title("Most packets lost"), worstTable(tally.worst)]),
    "",
    title("Every packet accounted for"),
    ledgerTable(summary.ledger, result.mode === "live"),
    ...reasonLines(summary.ledger),
    "",
    ...speedLines(result),
    ...noteLines(result).flatMap((line, i) => (i === 0 ? ["", line] : [line])),
    ...(verdict === undefined ? [] : ["", verdictText(verdict)]),
    "",
    `Run ${run} is in ${database}. Look closer: tapline flows ${database} 'lost>0' --sort lost`,
  ].join("\n");
}

const isPort = (entry: LedgerCounts | PortCounts): entry is PortCounts => "superPackets" in entry;

const portJson = (port: PortCounts): Record<string, unknown> => ({
  bytes: port.bytes,
  super_packets: port.superPackets,
  segments: port.segments,
  partial_checksums: port.partialChecksums,
  ring_full: port.ringFull,
  ring_bytes: port.ringBytes,
  ring_locked: port.ringLocked,
});

/** Stable names; figures are numbers, times ISO 8601 to the nanosecond. */
export function resultJson({ capture, database, mode, finished, verdict }: Result): Record<string, unknown> {
  const { summary, tally, run, wallNs } = finished;
  const totals = [...tally.byProtocol.values()];
  const total = (name: keyof ProtocolTotals): number => sum(totals.map((t) => t[name]));
  return {
    capture,
    database,
    run,
    complete: summary.complete,
    looped: summary.looped,
    mode,
    format: summary.format,
    file_error: summary.fileError ?? null,
    packets: summary.packets,
    bytes_read: summary.bytesRead,
    flows: summary.flows,
    peak_flows: summary.peakFlows,
    ...(summary.members === undefined
      ? {}
      : { members: summary.members, fanout: summary.ebpf === true ? "ebpf" : "classic" }),
    gaps: summary.gaps,
    lost: total("lost"),
    expected: total("expected"),
    first_time: summary.packets === 0 ? null : timeText(summary.firstTimeNs),
    last_time: summary.packets === 0 ? null : timeText(summary.lastTimeNs),
    protocols: Object.fromEntries(tally.byProtocol),
    worst_flows: tally.worst.map((flow) => ({
      flow: cell(flow, "packet"),
      protocol: protocolOf(flow),
      endpoints: flowLabel(flowName(flow)),
      lost: cell(flow, "lost"),
      expected: cell(flow, "expected"),
      gaps: cell(flow, "gaps"),
      max_gap: cell(flow, "max_gap"),
    })),
    ledger: summary.ledger.map((entry) => ({
      interface: entry.interface,
      link_type: entry.linkType,
      seen: entry.seen,
      ring_drops: entry.ringDrops,
      in_flight: entry.inFlight,
      delivered: entry.delivered,
      decoded: entry.decoded,
      tracked: entry.tracked,
      undecodable: entry.undecodable,
      untracked: entry.untracked,
      residue: entry.residue,
      capture_drops: entry.captureDrops,
      ...(isPort(entry) ? portJson(entry) : {}),
    })),
    residue: residueOf(summary),
    time_reversed: summary.timeReversed,
    cap_evictions: summary.capEvictions,
    tombstones_dropped: summary.tombstonesDropped,
    links_dropped: summary.linksDropped,
    settled_early: summary.settledEarly,
    threads: summary.threads,
    engine_ns: summary.engineNs,
    engine_waited_ns: summary.waitedNs,
    engine_packets_per_second: perSecond(summary.packets, summary.engineNs),
    whole_ns: wallNs,
    whole_packets_per_second: perSecond(summary.packets, wallNs),
    pacing:
      summary.pacing === undefined
        ? null
        : { p50_ns: summary.pacing.p50Ns, p99_ns: summary.pacing.p99Ns, max_ns: summary.pacing.maxNs },
    truth: verdict ?? null,
  };
}
