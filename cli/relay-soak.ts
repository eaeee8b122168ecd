// The relay at full rate for a long time: nothing lost, nothing twice, its counters close, and the agent does not grow.
import { join } from "node:path";
import { duration, grouped } from "./numbers.ts";
import { rateCases } from "./relay-cases.ts";
import { sendStream, Sink } from "./relay-ends.ts";
import { RelayRig } from "./relay-rig.ts";
import { RelayAgent, rules, total } from "./relay-subject.ts";
import { SoakWatch, type Soaking } from "./soak-watch.ts";
import { exactly, type Target } from "./target.ts";

/** More than any sender here: every number has its bit, for as long as it goes. */
const numbersPerSecond = 2_500_000;

export const relaySoak: Soaking = async ({ seconds, every }, folder, say, signal) => {
  const { lanes, steering, stream } = rateCases.xdp(seconds);
  using rig = new RelayRig({ hops: 1 });
  const sink = await Sink.start(rig, { lanes, numbers: Math.ceil(seconds * numbersPerSecond) });
  const agent = await RelayAgent.start(rig, "b", folder, signal);
  await agent.load(rules.onward("XDP")("b", 0), signal);
  for (const one of steering) rig.steer(one);
  say(`tapline relay, one rule by xdp, at full rate for ${duration(seconds * 1e9)}.`);
  const before = (await agent.settled(signal)).totals;
  const watch = new SoakWatch({ pid: agent.pid, files: () => [join(agent.folder, "state")] }, seconds, every);
  const sending = sendStream(rig, stream, signal);
  sending.catch(() => undefined); // awaited below
  await watch.watch(say, signal);
  const sent = await sending;
  const report = await sink.settled(sent.numbers);
  const { totals: after, interfaces } = await agent.settled(signal);
  const [lane] = report.lanes;
  const target = (what: string, value: number, wanted: number): Target =>
    exactly(`${duration(sent.seconds * 1e9)}: ${what}`, value, wanted, grouped);
  return {
    sent,
    watch,
    targets: [
      target("packets that arrived", lane?.unique ?? 0, sent.sent),
      target("twice", lane?.duplicate ?? 0, 0),
      target("matched, by its own account", after.matched - before.matched, sent.sent),
      target("sent, by its own account", after.sent - before.sent, sent.sent),
      target("dropped, by its own account", total(after.dropped) - total(before.dropped), 0),
      target(
        "residue",
        after.wanted - after.sent - total(after.dropped) + interfaces.reduce((sum, { residue }) => sum + residue, 0),
        0,
      ),
    ],
  };
};
