// A process that stands for the lease, for tests that kill it: `node lease-holder.ts KUBECONFIG IDENTITY`. While it leads it says so every 20 ms; the
// moment is of a clock that all processes of a machine share.
import { setTimeout as sleep } from "node:timers/promises";
import { LeaderElection } from "#operator/runtime/lease.ts";
import { direct, makeClient, makeFigures, recordedLog } from "./parts.ts";

const [kubeconfig = "", identity = "", durations = ""] = process.argv.slice(2);
const [leaseMs = 15_000, renewMs = 10_000, retryMs = 2000] = durations === "" ? [] : durations.split(",").map(Number);
const ending = new AbortController();
process.once("SIGTERM", () => ending.abort());

const say = (what: string): void => void process.stdout.write(`${what} ${process.hrtime.bigint() / 1_000_000n}\n`);
const election = new LeaderElection({
  client: makeClient(direct(kubeconfig)),
  namespace: "default",
  name: "leader",
  identity,
  log: recordedLog().log,
  metrics: makeFigures().metrics,
  durations: { leaseMs, renewMs, retryMs },
});
say("waits");
try {
  await election.run(ending.signal, async (signal) => {
    while (!signal.aborted) {
      if (election.holds()) say("leads");
      await sleep(20, undefined, { signal }).catch(() => undefined);
    }
  });
  say("ended");
} catch (error) {
  say(`lost:${(error as { code?: string }).code}`);
  process.exitCode = 1;
}
