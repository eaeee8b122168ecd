// Rows of an index that a filter lets through, and the first few of them in an order. Both look at a million rows at a time, so
// the usual terms and every order have loops of their own over plain arrays: a call per row would be most of the time.
import type { Filter } from "#domain/filter.ts";
import type { FlowIndex } from "./flow-index.ts";
import { matchTerm, type Match } from "./flow-match.ts";

/** Row numbers, ascending, until the next call for this index; undefined means every row. Each term narrows what the one before left. */
export function selectRows(index: FlowIndex, filter: Filter): Uint32Array | undefined {
  let rows: Uint32Array | undefined;
  for (const term of filter) {
    const kept = rows ?? index.scratch;
    rows = kept.subarray(0, narrow(matchTerm(index, term), rows, rows?.length ?? index.length, kept));
  }
  return rows;
}

/**
 * `from` undefined is every row; else `kept` may be `from` itself: what is kept never lies behind what is read. Every row is put down
 * and the count goes up where it matched: a branch on data that no processor can foresee would cost four times as much, and one
 * loop for both kinds of `from` three times.
 */
function narrow(match: Match, from: Uint32Array | undefined, length: number, kept: Uint32Array): number {
  if (match.by === "range") return byRange(match, from, length, kept);
  if (match.by === "byte") return byByte(match, from, length, kept);
  return byTest(match, from, length, kept);
}

type MatchBy<K extends Match["by"]> = Extract<Match, { by: K }>;

function byRange(match: MatchBy<"range">, from: Uint32Array | undefined, length: number, kept: Uint32Array): number {
  const { values, low, high } = match;
  let count = 0;
  if (!from)
    for (let row = 0; row < length; row++) {
      const value = values[row] as number;
      kept[count] = row;
      count += Number(value >= low) & Number(value <= high);
    }
  else
    for (let i = 0; i < length; i++) {
      const row = from[i] as number;
      const value = values[row] as number;
      kept[count] = row;
      count += Number(value >= low) & Number(value <= high);
    }
  return count;
}

function byByte(match: MatchBy<"byte">, from: Uint32Array | undefined, length: number, kept: Uint32Array): number {
  const { bytes, at, allowed } = match;
  let count = 0;
  if (!from)
    for (let row = 0; row < length; row++) {
      kept[count] = row;
      count += allowed[bytes[row * 8 + at] as number] as number;
    }
  else
    for (let i = 0; i < length; i++) {
      const row = from[i] as number;
      kept[count] = row;
      count += allowed[bytes[row * 8 + at] as number] as number;
    }
  return count;
}

function byTest({ test }: MatchBy<"test">, from: Uint32Array | undefined, length: number, kept: Uint32Array): number {
  let count = 0;
  if (!from)
    for (let row = 0; row < length; row++) {
      kept[count] = row;
      count += Number(test(row));
    }
  else
    for (let i = 0; i < length; i++) {
      const row = from[i] as number;
      kept[count] = row;
      count += Number(test(row));
    }
  return count;
}

/** Rows by `keys`, ascending or (sign −1) descending; equal ones by `ties`, ascending. */
export interface Order {
  readonly keys: Float64Array;
  readonly sign: 1 | -1;
  readonly ties: Float64Array;
}
const sampled = 16;

/** Only rows behind this place are wanted. */
export interface After {
  readonly key: number;
  readonly tie: number;
}

/**
 * The first `count` rows in order. Rows gather in a buffer of a few times `count`; when it is full, quickselect keeps the best.
 */
export function firstInOrder(
  rows: Uint32Array | undefined,
  length: number,
  order: Order,
  count: number,
  after?: After,
): number[] {
  if (count <= 0) return [];
  const { keys, sign, ties } = order;
  const buffer = new Uint32Array(Math.max(count * 4, 1024));
  let used = 0;
  // No row behind this place can be among the first.
  let worstKey = Number.POSITIVE_INFINITY;
  let worstTie = Number.POSITIVE_INFINITY;
  const afterKey = after ? sign * after.key : Number.NEGATIVE_INFINITY;
  const afterTie = after ? after.tie : Number.NEGATIVE_INFINITY;
  // First one row in sixteen, then the rest: the few best of a sample keep out nearly all that is behind them, so that a list
  // sorted the wrong way round costs little more than any other.
  for (const [first, step] of [[0, sampled], [1, 1]] as const) {
    for (let i = first; i < length; i += step) {
      if (step === 1 && i % sampled === 0) continue;
      const row = rows ? (rows[i] as number) : i;
      const key = sign * (keys[row] as number);
      if (key > worstKey || (key === worstKey && (ties[row] as number) > worstTie)) continue;
      if (key < afterKey || (key === afterKey && (ties[row] as number) <= afterTie)) continue;
      buffer[used++] = row;
      if (used < buffer.length) continue;
      quickselect(buffer, used, count, order);
      used = count;
      const worst = worstOf(buffer, count, order);
      worstKey = sign * (keys[worst] as number);
      worstTie = ties[worst] as number;
    }
  } // biome-ignore format: two passes
  const compare = (a: number, b: number): number =>
    sign * ((keys[a] as number) - (keys[b] as number)) || (ties[a] as number) - (ties[b] as number);
  return [...buffer.subarray(0, used)].sort(compare).slice(0, count);
}

function worstOf(rows: Uint32Array, count: number, { keys, sign, ties }: Order): number {
  let worst = rows[0] as number;
  for (let i = 1; i < count; i++) {
    const row = rows[i] as number;
    const further = sign * ((keys[row] as number) - (keys[worst] as number));
    if (further > 0 || (further === 0 && (ties[row] as number) > (ties[worst] as number))) worst = row;
  }
  return worst;
}

/** Moves the first `count` of `rows[0…length)` to the front, in any order. */
function quickselect(rows: Uint32Array, length: number, count: number, { keys, sign, ties }: Order): void {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const pivot = rows[(low + high) >> 1] as number;
    const key = sign * (keys[pivot] as number);
    const tie = ties[pivot] as number;
    let i = low;
    let j = high;
    while (i <= j) {
      for (; ; i++) {
        const own = sign * (keys[rows[i] as number] as number);
        if (!(own < key || (own === key && (ties[rows[i] as number] as number) < tie))) break;
      }
      for (; ; j--) {
        const own = sign * (keys[rows[j] as number] as number);
        if (!(key < own || (own === key && tie < (ties[rows[j] as number] as number)))) break;
      }
      if (i <= j) {
        const swap = rows[i] as number;
        rows[i++] = rows[j] as number;
        rows[j--] = swap;
      }
    }
    if (count - 1 <= j) high = j;
    else if (count - 1 >= i) low = i;
    else return;
  }
}
