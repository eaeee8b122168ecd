// How the relay's figures are summed up and shown.
import { grouped, median } from "./numbers.ts";
import type { Cell, Column } from "./table.ts";

export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}
export const figure = (values: readonly number[]): Figure => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
});
export const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

export const right = (title: string): Column => ({ title, align: "right" });
/** What should be 0. */
export const bad = (value: number): Cell => (value === 0 ? "0" : { text: grouped(value), mood: "bad" });
