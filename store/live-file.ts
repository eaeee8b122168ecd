// The files of active flows beside a database, as the engine writes them (native/src/flow/live_file.h). What enters: a database's
// path. What leaves: flow records whose check holds, a few thousand at a time. Their writer may be at work, or dead.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  cellCount,
  cellOffsets,
  flowRecord,
  liveHeader,
  liveMagic,
  liveMark,
  livePage,
  liveVersion,
} from "#domain/records.ts";

const header = cellOffsets(liveHeader);
const stride = cellCount(flowRecord);
const slotCells = stride + cellCount(liveMark);
const slotBytes = slotCells * 8;
const slotWords = slotCells * 2;
/** words that the check is made of; it is the one behind them */
const checked = slotWords - 2;
const factors = Uint32Array.from({ length: checked }, (_, i) => Math.imul(i + 1, 0x9e_37_79_b1) | 1);
const slotsAtOnce = 2048;
/** A slot that is being written is right at the next look. */
const looks = 4;

export interface LiveFile {
  readonly path: string;
  readonly run: number;
  /** of the run, as in its row */
  readonly startedNs: bigint;
  readonly member: number;
  /** that has, or had, the file open */
  readonly process: number;
  readonly slots: number;
  /** wall clock of its writer's latest visit */
  readonly visitedNs: bigint;
}

/** As the engine's live_check: of the slot that begins at word `from`. */
export function liveCheck(words: Uint32Array, from: number): number {
  let sum = 0x74_61_70_65;
  for (let i = 0; i < checked; i++) {
    const word = words[from + i] as number;
    sum = (sum + Math.imul(word ^ (word >>> 15), factors[i] as number)) | 0;
  }
  return sum >>> 0;
}

const holds = (words: Uint32Array, from: number): boolean => liveCheck(words, from) === words[from + checked];
const gone = (cause: unknown): boolean => (cause as { code?: string }).code === "ENOENT";

/** Undefined when it is none, of another version, or gone: not ours to read, and not ours to remove. */
function readHeader(path: string): LiveFile | undefined {
  const cells = new ArrayBuffer(slotBytes);
  const words = new Uint32Array(cells);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    if (gone(cause)) return undefined;
    throw cause;
  }
  try {
    for (let look = 0; look < looks; look++) {
      if (readSync(file, words, 0, slotBytes, 0) === slotBytes && holds(words, 0)) break;
      if (look === looks - 1) return undefined;
    }
  } finally {
    closeSync(file);
  }
  const numbers = new Float64Array(cells);
  const times = new BigInt64Array(cells);
  const magic = Buffer.from(cells, header.magic * 8, 8).toString("latin1");
  if (magic !== liveMagic || numbers[header.version] !== liveVersion || numbers[header.slot_size] !== slotBytes)
    return undefined;
  return {
    path,
    run: numbers[header.run] as number,
    startedNs: times[header.started] as bigint,
    member: numbers[header.member] as number,
    process: numbers[header.process] as number,
    slots: numbers[header.slots] as number,
    visitedNs: times[header.visited] as bigint,
  };
}

/** Beside the file itself, by whatever name it is known. */
export function liveFiles(path: string): LiveFile[] {
  const database = existsSync(path) ? realpathSync(path) : path;
  const prefix = `${basename(database)}-live-`;
  return readdirSync(dirname(database))
    .filter((name) => name.startsWith(prefix) && /^\d+-\d+$/.test(name.slice(prefix.length)))
    .sort()
    .map((name) => readHeader(join(dirname(database), name)))
    .filter((file) => file !== undefined);
}

/** Its writer is alive and has it open. A process that may not be looked into is taken for that. */
export function isHeld({ path, process: id }: LiveFile): boolean {
  try {
    const own = statSync(path);
    return readdirSync(`/proc/${id}/fd`).some((descriptor) => {
      const other = statSync(`/proc/${id}/fd/${descriptor}`, { throwIfNoEntry: false });
      return other?.ino === own.ino && other.dev === own.dev;
    });
  } catch (cause) {
    if (gone(cause)) return false; // no such process, or no such file any more
    if ((cause as { code?: string }).code === "EACCES") return true;
    throw cause;
  }
}

export interface LiveRecords {
  /** flow records, as a batch of the engine's */
  readonly records: ArrayBuffer;
  /** slots that never passed their check */
  readonly torn: number;
}

/** The file's flows, slot by slot. Empty chunks are left out. */
export function* liveRecords({ path, slots }: LiveFile): Generator<LiveRecords> {
  const chunk = new Uint32Array(slotsAtOnce * slotWords);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    if (gone(cause)) return;
    throw cause;
  }
  try {
    const end = Math.min(slots, Math.floor((fstatSync(file).size - livePage) / slotBytes));
    for (let first = 0; first < end; first += slotsAtOnce) {
      const place = livePage + first * slotBytes;
      const found = Math.floor(
        readSync(file, chunk, 0, Math.min(slotsAtOnce, end - first) * slotBytes, place) / slotBytes,
      );
      const kept = new Uint32Array(found * stride * 2);
      let used = 0;
      let torn = 0;
      for (let slot = 0; slot < found; slot++) {
        const from = slot * slotWords;
        for (let look = 1; look < looks && !isEmpty(chunk, from) && !holds(chunk, from); look++)
          readSync(file, chunk, from * 4, slotBytes, place + slot * slotBytes);
        if (isEmpty(chunk, from)) continue;
        if (holds(chunk, from)) {
          kept.set(chunk.subarray(from, from + stride * 2), used);
          used += stride * 2;
        } else torn++;
      }
      if (used > 0 || torn > 0) yield { records: kept.buffer.slice(0, used * 4), torn };
    }
  } finally {
    closeSync(file);
  }
}

/** No packet has number 0, and a written slot's check is never 0 by its factors alone: both at once is an empty slot. */
const isEmpty = (words: Uint32Array, from: number): boolean =>
  words[from] === 0 && words[from + 1] === 0 && words[from + checked] === 0;
