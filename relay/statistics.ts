// Two log lines a second, as the old relay printed them: what came in, what went out, in all and per second.
import type { RelayReport } from "#domain/relay-report.ts";
import type { Log } from "#process/log.ts";
import { added, rate, sumOf } from "./sums.ts";

interface Ingress {
  readonly recv: number;
  readonly matched: number;
  /** refused, for whatever reason */
  readonly errors: number;
  /** no room to receive into */
  readonly buf_exhaust: number;
}
interface Egress {
  /** wanted to be sent */
  readonly matched: number;
  readonly sent: number;
  /** dropped, but for want of a buffer */
  readonly errors: number;
  readonly buf_exhaust: number;
}

function ingress({ interfaces, totals }: RelayReport): Ingress {
  const of = (pick: (port: RelayReport["interfaces"][number]) => number): number =>
    interfaces.reduce((total, port) => total + pick(port), 0);
  return {
    recv: of(({ received }) => received),
    matched: of(({ matched }) => matched),
    errors: sumOf(totals.refused),
    buf_exhaust: of(({ ring_drops }) => ring_drops),
  };
}
function egress({ totals: { wanted, sent, dropped } }: RelayReport): Egress {
  const { buffer = 0, ...others } = dropped;
  return { matched: wanted, sent, errors: sumOf(others), buf_exhaust: buffer };
}

const perSecond = <Counts extends Ingress | Egress>(now: Counts, before: Counts, ns: number): Record<string, number> =>
  Object.fromEntries(
    Object.entries(now).map(([name, count]) => [
      `${name}_per_second`,
      Math.round(rate(added(count as number, before[name as keyof Counts] as number), ns)),
    ]),
  );

/** `ns`: between the two reports. */
export function tellStatistics(log: Log, now: RelayReport, before: RelayReport | null, ns: number): void {
  const last = before ?? now;
  log.info("[STATS:Ingress]", { ...ingress(now), ...perSecond(ingress(now), ingress(last), ns) });
  log.info("[STATS:Egress]", { ...egress(now), ...perSecond(egress(now), egress(last), ns) });
}
