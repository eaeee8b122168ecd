// When nothing is on its way any more: neither the sink nor any relay has counted anything new. A busy machine lets packets lie in its
// queues for longer than any fixed time.
import { isDeepStrictEqual } from "node:util";
import type { Sink, SinkReport } from "../../cli/relay-ends.ts";
import type { RelayAgent, RelayFacts } from "../../cli/relay-subject.ts";

export async function quiet(
  agents: readonly RelayAgent[],
  signal: AbortSignal,
  sink?: Sink,
  expected = 0,
): Promise<{ readonly facts: readonly RelayFacts[]; readonly report: SinkReport | undefined }> {
  const look = async () => {
    const facts: RelayFacts[] = [];
    for (const agent of agents) facts.push(await agent.settled(signal));
    return { facts, report: await sink?.settled(expected) };
  };
  const counts = ({ facts, report }: Awaited<ReturnType<typeof look>>): unknown => [
    report,
    facts.map(({ totals, interfaces }) => [totals.matched, totals.sent, interfaces.map((one) => [one.matched, one.refused])]),
  ];
  for (let before = await look(); ; ) {
    const now = await look();
    if (isDeepStrictEqual(counts(before), counts(now))) return now;
    before = now;
  }
} // biome-ignore format: one table
