// Rows of an index that a filter lets through, and the first few of them in an order.
import type { Filter } from "#domain/filter.ts";
import type { FlowIndex } from "./flow-index.ts";
import { matchTerm } from "./flow-match.ts";

/** Row numbers, ascending; undefined means every row. Each term narrows what the one before left. */
export function selectRows(index: FlowIndex, filter: Filter): Uint32Array | undefined {
  let rows: Uint32Array | undefined;
  for (const term of filter) {
    const test = matchTerm(index, term);
    const kept: Uint32Array = rows ?? new Uint32Array(index.length);
    let count = 0;
    if (rows) {
      for (let i = 0; i < rows.length; i++) {
        const row = rows[i] as number;
        if (test(row)) kept[count++] = row;
      }
    } else {
      for (let row = 0; row < index.length; row++) if (test(row)) kept[count++] = row;
    }
    rows = kept.subarray(0, count);
  }
  return rows;
}

/**
 * The first `count` of `length` items, in order. Items gather in a buffer of a few times `count`; when it is full, quickselect keeps
 * the best. So a list that is already sorted the wrong way round costs no more than any other.
 */
export function firstInOrder(length: number, count: number, before: (a: number, b: number) => boolean): number[] {
  if (count <= 0) return [];
  const buffer = new Uint32Array(Math.max(count * 4, 1024));
  let used = 0;
  let worst = -1; // no item behind this one can be among the first
  for (let item = 0; item < length; item++) {
    if (worst >= 0 && !before(item, worst)) continue;
    buffer[used++] = item;
    if (used < buffer.length) continue;
    quickselect(buffer, used, count, before);
    used = count;
    worst = buffer[0] as number;
    for (let i = 1; i < count; i++) if (before(worst, buffer[i] as number)) worst = buffer[i] as number;
  }
  return [...buffer.subarray(0, used)].sort((a, b) => (before(a, b) ? -1 : 1)).slice(0, count);
}

/** Moves the first `count` of `items[0…length)` to the front, in any order. */
function quickselect(
  items: Uint32Array,
  length: number,
  count: number,
  before: (a: number, b: number) => boolean,
): void {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const pivot = items[(low + high) >> 1] as number;
    let i = low;
    let j = high;
    while (i <= j) {
      while (before(items[i] as number, pivot)) i++;
      while (before(pivot, items[j] as number)) j--;
      if (i <= j) {
        const swap = items[i] as number;
        items[i++] = items[j] as number;
        items[j--] = swap;
      }
    }
    if (count - 1 <= j) high = j;
    else if (count - 1 >= i) low = i;
    else return;
  }
}
