// /debug on loopback, when it is asked for: a CPU profile and a heap snapshot of the main thread, for Chrome's developer tools, and the engine's
// time per stage. SQL runs in workers and packets in C++ threads: neither is in the first two.
import { Session } from "node:inspector/promises";
import { pipeline } from "node:stream/promises";
import { getHeapSnapshot } from "node:v8";
import { TaplineError } from "#domain/errors.ts";
import { type Endpoint, startEndpoint } from "./endpoint.ts";
import type { Log } from "./log.ts";

export interface ProfilingOptions {
  readonly port: number;
  /** what /debug/stages answers, as JSON: ns per stage */
  readonly stages: () => unknown;
  readonly log: Log;
}

const mostSeconds = 300;
const intervalUs = 500;

export function startProfiling({ port, stages, log }: ProfilingOptions): Promise<Endpoint> {
  let busy = false;
  /** Two at once would show each other. */
  const alone = async <T>(kind: string, work: () => Promise<T>): Promise<T> => {
    if (busy) throw new TaplineError("PROFILE_BUSY");
    busy = true;
    const started = performance.now();
    try {
      return await work();
    } finally {
      busy = false;
      log.notice("took a profile", { kind, ms: Math.round(performance.now() - started) });
    }
  };
  return startEndpoint({
    host: "127.0.0.1",
    port,
    guarded: true,
    failed: (path, error) => log.error("failed to profile", { path, error }),
    idleMs: (mostSeconds + 60) * 1000,
    paths: {
      "/debug/cpuprofile": async ({ query, signal }) => {
        const seconds = secondsOf(query.get("seconds") ?? "10");
        const body = await alone("cpu", () => cpuProfile(seconds, signal));
        return { type: "application/json", body, headers: attachment("tapline.cpuprofile") };
      },
      "/debug/heapsnapshot": async ({ signal }, response) => {
        await alone("heap", async () => {
          response.writeHead(200, { "content-type": "application/json", ...attachment("tapline.heapsnapshot") });
          await pipeline(getHeapSnapshot(), response, { signal });
        });
        return undefined;
      },
      "/debug/stages": () => ({ type: "application/json", body: `${JSON.stringify(stages(), undefined, 2)}\n` }),
    },
  });
}

const attachment = (name: string): Record<string, string> => ({
  "content-disposition": `attachment; filename="${name}"`,
});

function secondsOf(text: string): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > mostSeconds) throw new TaplineError("PROFILE_BAD_SECONDS", { most: mostSeconds });
  return seconds;
}

/** Ends early, with what it has, when the server closes or the asker goes. */
async function cpuProfile(seconds: number, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: intervalUs });
    await session.post("Profiler.start");
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
    });
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
