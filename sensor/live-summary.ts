// A live capture's figures as the summary of a run, while it goes on and at its end.
import type { AnalysisSummary, CaptureFigures } from "#domain/analysis.ts";

/** A live capture has no end to miss: it is complete when it was asked to end and everything in the rings was taken. */
export const liveSummary = (figures: CaptureFigures, engineNs: number): AnalysisSummary => ({
  complete: figures.ledger.every((port) => port.inFlight === 0),
  looped: 1,
  format: "live",
  bytesRead: figures.bytesRead,
  packets: figures.packets,
  timeReversed: 0,
  firstTimeNs: figures.firstTimeNs,
  lastTimeNs: figures.lastTimeNs,
  flows: figures.flows,
  gaps: figures.gaps,
  capEvictions: figures.capEvictions,
  tombstonesDropped: figures.tombstonesDropped,
  linksDropped: figures.linksDropped,
  settledEarly: figures.settledEarly,
  ledger: figures.ledger,
  threads: figures.members.length,
  engineNs,
  waitedNs: figures.waitedNs,
  peakFlows: figures.peakFlows,
  members: figures.members,
  ebpf: figures.ebpf,
});
