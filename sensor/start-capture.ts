// The engine's capture, as the configuration wants it. Leaves: a running capture; or what is wrong with the filter, in libpcap's words.
import { setImmediate as nextTurn } from "node:timers/promises";
import type { SensorConfig } from "#domain/sensor-config.ts";
import { engine, type Capture } from "#native/engine.ts";
import { engineError } from "./engine-error.ts";
import { rests, takeAll } from "./take.ts";

/** Of no interface yet: they are added to it. */
export function startCapture({ capture, analysis }: SensorConfig): Capture {
  return engine().capture({
    ports: [],
    wait: true,
    threads: capture.threads,
    filter: capture.filter,
    direction: capture.direction,
    promiscuous: capture.promiscuous,
    ring: capture.ring,
    settleNs: Number(analysis.settle),
    idleNs: Number(analysis.idleTimeout),
    maxFlows: analysis.maxFlows,
  });
}

/** Throws what a start with this filter would: a schema cannot know. Nothing is captured. */
export async function tryFilter(config: SensorConfig): Promise<void> {
  const capture = startCapture(config);
  capture.done.catch(() => undefined); // read below
  try {
    await Promise.race([capture.done, nextTurn()]);
    capture.stop();
    await takeAll(capture, rests.file, () => undefined);
  } catch (cause) {
    throw engineError(cause, "");
  }
}
