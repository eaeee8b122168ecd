// Rows of an index that a filter lets through, and the first few of them in an order. Both look at a million rows at a time, so
// the usual terms and every order have loops of their own over plain arrays: a call per row would be most of the time.
import type { Filter } from "#domain/filter.ts";
import type { FlowIndex } from "./flow-index.ts";
import { matchTerm, type Match } from "./flow-match.ts";

/** Row numbers, ascending, until the next call for this index; undefined means every row. Each term narrows what the one before left. */
export function selectRows(index: FlowIndex, filter: Filter): Uint32Array | undefined {
  let rows: Uint32Array | undefined;
  for (const term of filter) {
    const from = rows ?? Uint32Array.from({ length: 0 });
    const every = rows === undefined;
    const kept = every ? index.scratch : from;
    const length = every ? index.length : from.length;
    rows = kept.subarray(0, narrow(matchTerm(index, term), every, from, length, kept));
  }
  return rows;
}

/** `kept` may be `from` itself: what is kept never lies behind what is read. */
function narrow(match: Match, every: boolean, from: Uint32Array, length: number, kept: Uint32Array): number {
  let count = 0;
  if (match.by === "range") {
    const { values, low, high } = match;
    for (let i = 0; i < length; i++) {
      const row = every ? i : (from[i] as number);
      const value = values[row] as number;
      if (value >= low && value <= high) kept[count++] = row;
    }
  } else if (match.by === "byte") {
    const { bytes, at, allowed } = match;
    for (let i = 0; i < length; i++) {
      const row = every ? i : (from[i] as number);
      if (allowed[bytes[row * 8 + at] as number] !== 0) kept[count++] = row;
    }
  } else {
    const { test } = match;
    for (let i = 0; i < length; i++) {
      const row = every ? i : (from[i] as number);
      if (test(row)) kept[count++] = row;
    }
  }
  return count;
}

/** Rows by `keys`, ascending or (sign −1) descending; equal ones by `ties`, ascending. */
export interface Order {
  readonly keys: Float64Array;
  readonly sign: 1 | -1;
  readonly ties: Float64Array;
}
/** Only rows behind this place are wanted. */
export interface After {
  readonly key: number;
  readonly tie: number;
}

/**
 * The first `count` rows in order. Rows gather in a buffer of a few times `count`; when it is full, quickselect keeps the best. So a
 * list that is already sorted the wrong way round costs little more than any other.
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
  for (let i = 0; i < length; i++) {
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
