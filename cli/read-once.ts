// A process of its own that reads one capture with the engine alone and throws the results away: what the benchmarks time.
// Arguments: capture, threads. Prints one JSON line.
import { engine } from "#native/engine.ts";
import { rests, takeAll } from "#sensor/take.ts";

const [path = "", threads = "1"] = process.argv.slice(2);
const { analyze } = engine();
const faults = process.resourceUsage().minorPageFault;
const started = process.hrtime.bigint();
const summary = await takeAll(
  analyze({ path, threads: Number(threads), mode: "fast", loop: 1, settleNs: 2e9, idleNs: 60e9, maxFlows: 4_000_000 }),
  rests.file,
  () => undefined,
);
const ns = Number(process.hrtime.bigint() - started);
process.stdout.write(
  JSON.stringify({
    ns,
    packets: summary.packets,
    peakFlows: summary.peakFlows,
    complete: summary.complete,
    faults: process.resourceUsage().minorPageFault - faults,
  }),
);
