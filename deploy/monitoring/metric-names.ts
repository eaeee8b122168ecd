// A metric of the vocabulary, as PromQL knows it: a name that domain/metrics.ts does not have does not compile.
import type { operatorMetrics, processMetrics, relayMetrics, sensorMetrics } from "#domain/metrics.ts";

type MetricName =
  | keyof typeof sensorMetrics
  | keyof typeof relayMetrics
  | keyof typeof operatorMetrics
  | keyof typeof processMetrics;

/** `name{labels}`; labels as PromQL writes them. */
export const of = (name: MetricName, labels = ""): string => (labels === "" ? name : `${name}{${labels}}`);
/** Per second, over the time a panel shows in one step. */
export const perSecond = (name: MetricName, labels = ""): string => `rate(${of(name, labels)}[$__rate_interval])`;
