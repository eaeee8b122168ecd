// What starting leaves behind, given back once by a process that runs for months. Compiled sources go into the compile cache now
// and not only at a clean end: the next start need not strip and compile them again (12 MiB, half a second). What only
// starting needed is collected. Text of the program that has not run for a while is unmapped, and freed memory given back, now and later.
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Text that has not run for so long counts as unused. Mapping what is used again takes a millisecond. */
const unusedMs = 10_000;

/** To be called when all has started. `releaseUnused` is the engine's. */
export function leaveStartBehind(releaseUnused: () => void): void {
  flushCompileCache();
  setFlagsFromString("--expose-gc"); // seen by contexts made from now on: by this one
  const collect = runInNewContext("gc") as (options: object) => void;
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
  releaseUnused();
  setInterval(releaseUnused, unusedMs).unref();
}
