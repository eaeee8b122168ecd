// What starting leaves behind, given back once by a process that runs for months. Compiled sources go into the compile cache now
// and not only at a clean end: the next start need not strip and compile them again (12 MiB, half a second). What only
// starting needed is collected, and the text of the program that only starting ran is unmapped.
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** To be called when all has started. `releaseText` is the engine's. */
export function leaveStartBehind(releaseText: () => number): void {
  flushCompileCache();
  setFlagsFromString("--expose-gc"); // seen by contexts made from now on: by this one
  const collect = runInNewContext("gc") as (options: object) => void;
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
  releaseText();
}
