// Live files as the engine would leave them, for tests: the same bytes, without an engine.
import { writeFileSync } from "node:fs";
import { cellCount, cellOffsets, flowRecord, liveHeader, liveMagic, livePage, liveVersion } from "#domain/records.ts";
import { liveCheck } from "./live-file.ts";
import { flowBatch, type MadeFlow } from "./made-records.ts";

const h = cellOffsets(liveHeader);
const slotCells = cellCount(liveHeader);
const stride = cellCount(flowRecord);

export interface MadeLive {
  readonly run: number;
  readonly startedNs: bigint;
  readonly member?: number;
  readonly process?: number;
  readonly visitedNs: bigint;
}

/** `undefined` is an empty slot. Returns the file's path. */
export function madeLiveFile(database: string, head: MadeLive, flows: readonly (MadeFlow | undefined)[]): string {
  const bytes = new ArrayBuffer(livePage + flows.length * slotCells * 8);
  const words = new Uint32Array(bytes);
  const numbers = new Float64Array(bytes);
  const times = new BigInt64Array(bytes);
  const seal = (cell: number): void => {
    words[(cell + slotCells) * 2 - 2] = liveCheck(words, cell * 2);
  };
  new Uint8Array(bytes).set(Buffer.from(liveMagic, "latin1"), h.magic * 8);
  numbers[h.version] = liveVersion;
  numbers[h.slot_size] = slotCells * 8;
  numbers[h.run] = head.run;
  times[h.started] = head.startedNs;
  numbers[h.member] = head.member ?? 0;
  numbers[h.process] = head.process ?? 2 ** 30; // more than there can be
  numbers[h.slots] = flows.length;
  times[h.visited] = head.visitedNs;
  seal(0);
  for (const [i, flow] of flows.entries()) {
    if (flow === undefined) continue;
    const cell = livePage / 8 + i * slotCells;
    words.set(new Uint32Array(flowBatch([flow]).records), cell * 2);
    times[cell + stride] = head.visitedNs;
    seal(cell);
  }
  const path = `${database}-live-${head.run}-${head.member ?? 0}`;
  writeFileSync(path, new Uint8Array(bytes));
  return path;
}
