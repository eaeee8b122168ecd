// A sensor's figures for Prometheus. Enters: the figures of each second, absolute. Leaves: metrics of domain/metrics.ts.
import { Counter, Gauge, type Registry } from "prom-client";
import { interfaceLabels, sensorMetrics } from "#domain/metrics.ts";

type Name = keyof typeof sensorMetrics;
type NameOf<T extends "counter" | "gauge"> = {
  [K in Name]: (typeof sensorMetrics)[K]["type"] extends T ? K : never;
}[Name];
type Labels = Readonly<Record<string, string>>;

export class SensorMetrics {
  readonly #metrics = new Map<Name, Counter | Gauge>();
  /** What each counter stood at, by name and labels: Prometheus's counters are told what was added. */
  readonly #stood = new Map<string, number>();
  readonly #interfaces = new Set<string>();

  constructor(registry: Registry) {
    for (const [name, { help, labels, type }] of Object.entries(sensorMetrics)) {
      const options = { name, help, labelNames: [...labels], registers: [registry] };
      this.#metrics.set(name as Name, type === "counter" ? new Counter(options) : new Gauge(options));
    }
  }

  /** The value of the label interface: an interface of its own until there are too many. */
  interface(name: string): string {
    if (this.#interfaces.size < interfaceLabels) this.#interfaces.add(name);
    return this.#interfaces.has(name) ? name : "other";
  }

  set(name: NameOf<"gauge">, labels: Labels, value: number): void {
    (this.#metrics.get(name) as Gauge).set(labels, value);
  }

  /** One of a closed list holds: 1 for it, 0 for the others. */
  choose(name: NameOf<"gauge">, label: string, all: readonly string[], chosen: string): void {
    for (const value of all) this.set(name, { [label]: value }, value === chosen ? 1 : 0);
  }

  /** `absolute`: counted since the process began. `of`: whose count it is, where several share a label. */
  total(name: NameOf<"counter">, labels: Labels, absolute: number, of = ""): void {
    const key = `${name} ${Object.values(labels).join(" ")} ${of}`;
    const before = this.#stood.get(key) ?? 0;
    // Nothing that is counted here begins anew while the process lives.
    const added = Math.max(0, absolute - before); // 0 shows the series
    (this.#metrics.get(name) as Counter).inc(labels, added);
    this.#stood.set(key, before + added);
  }
}
