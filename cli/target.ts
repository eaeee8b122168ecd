// A figure that was promised, beside what was measured.
import { table, type Cell } from "./table.ts";

export interface Target {
  readonly name: string;
  /** measured and promised, in the words of the table */
  readonly measured: string;
  readonly promised: string;
  readonly value: number;
  readonly met: boolean;
}

export const atLeast = (name: string, value: number, limit: number, words: (value: number) => string): Target => ({
  name, value, met: value >= limit, measured: words(value), promised: `at least ${words(limit)}`,
}); // biome-ignore format: one list
export const atMost = (name: string, value: number, limit: number, words: (value: number) => string): Target => ({
  name, value, met: value <= limit, measured: words(value), promised: `at most ${words(limit)}`,
}); // biome-ignore format: one list
export const exactly = (name: string, value: number, wanted: number, words: (value: number) => string): Target => ({
  name, value, met: value === wanted, measured: words(value), promised: `exactly ${words(wanted)}`,
}); // biome-ignore format: one list

export const targetTable = (targets: readonly Target[]): string =>
  table(
    ["target", "measured", "promised", "verdict"].map((title) => ({ title, align: "left" })),
    targets.map((target): Cell[] => [
      target.name,
      target.measured,
      target.promised,
      target.met ? { text: "met", mood: "good" } : { text: "MISSED", mood: "bad" },
    ]),
  );
