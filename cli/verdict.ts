// The outcome of comparing a run with the truth.
import { grouped } from "./numbers.ts";
import { styled } from "./table.ts";

export interface Difference {
  /** number of the flow's first packet; 0 is the run as a whole */
  readonly flow: number;
  readonly what: string;
  readonly truth: number | string | null;
  readonly found: number | string | null;
}

export interface Verdict {
  readonly equal: boolean;
  readonly flows: number;
  /** figures that were compared */
  readonly compared: number;
  readonly differences: number;
  /** the first of them */
  readonly first: readonly Difference[];
}

const shown = (value: number | string | null): string =>
  typeof value === "number" ? grouped(value) : (value ?? "none");

export function verdictText(verdict: Verdict): string {
  const compared = `${grouped(verdict.compared)} figures of ${grouped(verdict.flows)} flows`;
  if (verdict.equal) return styled(`Equal to the truth: all ${compared}.`, "good");
  const more = verdict.differences - verdict.first.length;
  return [
    styled(`Different from the truth: ${grouped(verdict.differences)} of ${compared}.`, "bad"),
    ...verdict.first.map(
      ({ flow, what, truth, found }) =>
        `  ${flow === 0 ? "the run" : `flow ${grouped(flow)}`}: ${what} is ${shown(found)}, in truth ${shown(truth)}`,
    ),
    ...(more > 0 ? [`  and ${grouped(more)} more`] : []),
  ].join("\n");
}
