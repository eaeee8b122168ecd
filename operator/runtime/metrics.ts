// The runtime's metrics: one table of domain/metrics.ts, and the two times that want a distribution.
import { Histogram, type Registry } from "prom-client";
import { operatorMetrics, operatorTimes } from "#domain/metrics.ts";
import { MetricSet } from "#process/metric-set.ts";

export class OperatorMetrics extends MetricSet<typeof operatorMetrics> {
  readonly #times = new Map<keyof typeof operatorTimes, Histogram>();

  constructor(registry: Registry) {
    super(registry, operatorMetrics);
    for (const [name, { help, labels }] of Object.entries(operatorTimes)) {
      const buckets = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];
      const histogram = new Histogram({ name, help, labelNames: labels, buckets, registers: [registry] });
      this.#times.set(name as keyof typeof operatorTimes, histogram);
    }
  }

  took(name: keyof typeof operatorTimes, labels: Readonly<Record<string, string>>, seconds: number): void {
    this.#times.get(name)?.observe(labels, seconds);
  }
}
