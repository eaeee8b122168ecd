// A progress bar on stderr: only on a terminal, one line, gone when the work is done.
import { duration } from "./numbers.ts";

export interface Step {
  /** 0 … 1 */
  readonly share: number;
  /** what else is worth seeing: rate, losses */
  readonly notes: readonly string[];
}

const barWidth = 24;
const everyMs = 100;

export function drawStep(title: string, step: Step, elapsedNs: number, width: number): string {
  const share = Math.min(Math.max(step.share || 0, 0), 1); // 0 of 0 is not there yet
  const full = Math.round(share * barWidth);
  const left = share > 0.01 && share < 1 ? `${duration((elapsedNs / share) * (1 - share))} left` : "";
  const text = [
    `${title} ${"█".repeat(full)}${"░".repeat(barWidth - full)} ${Math.floor(share * 100)} %`,
    ...step.notes,
    ...(left === "" ? [] : [left]),
  ].join(" · ");
  return [...text].slice(0, Math.max(width - 1, 0)).join("");
}

/** Draws what `look` sees until disposed of. */
export function progress(title: string, look: () => Step, stream: NodeJS.WriteStream = process.stderr): Disposable {
  if (!stream.isTTY) return { [Symbol.dispose]: () => undefined };
  const started = performance.now();
  const timer = setInterval(() => {
    const line = drawStep(title, look(), (performance.now() - started) * 1e6, stream.columns);
    stream.write(`\r\x1b[2K${line}`);
  }, everyMs);
  timer.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      stream.write("\r\x1b[2K");
    },
  };
}
