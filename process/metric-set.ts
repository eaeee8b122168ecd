// Figures for Prometheus. Enters: a table of domain/metrics.ts, and each second figures, absolute. Leaves: its metrics in a registry.
import { Counter, Gauge, type Registry } from "prom-client";
import { otherLabel, type TypedMetrics } from "#domain/metrics.ts";

type NameOf<Table extends TypedMetrics, T extends "counter" | "gauge"> = {
  [K in keyof Table]: Table[K]["type"] extends T ? K : never;
}[keyof Table];
type Labels = Readonly<Record<string, string>>;

export class MetricSet<Table extends TypedMetrics> {
  readonly #metrics = new Map<keyof Table, Counter | Gauge>();
  /** What each counter stood at, by name and labels: Prometheus's counters are told what was added. */
  readonly #stood = new Map<string, number>();

  constructor(registry: Registry, table: Table) {
    for (const [name, { help, labels, type }] of Object.entries(table)) {
      const options = { name, help, labelNames: [...labels], registers: [registry] };
      this.#metrics.set(name, type === "counter" ? new Counter(options) : new Gauge(options));
    }
  }

  set(name: NameOf<Table, "gauge">, labels: Labels, value: number): void {
    (this.#metrics.get(name) as Gauge).set(labels, value);
  }

  /** One of a closed list holds: 1 for it, 0 for the others. */
  choose(name: NameOf<Table, "gauge">, label: string, all: readonly string[], chosen: string): void {
    for (const value of all) this.set(name, { [label]: value }, value === chosen ? 1 : 0);
  }

  /** 0 shows the series. */
  add(name: NameOf<Table, "counter">, labels: Labels, added: number): void {
    (this.#metrics.get(name) as Counter).inc(labels, added);
  }

  /** `absolute`: counted since the process began. `of`: whose count it is, where several share a label. */
  total(name: NameOf<Table, "counter">, labels: Labels, absolute: number, of = ""): void {
    const key = `${String(name)} ${Object.values(labels).join(" ")} ${of}`;
    const before = this.#stood.get(key) ?? 0;
    // Nothing that is counted here begins anew while the process lives.
    const added = Math.max(0, absolute - before);
    this.add(name, labels, added);
    this.#stood.set(key, before + added);
  }
}

/** Values of a label for names of which there may be many: the first so many have one of their own. */
export function boundedLabel(most: number): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    if (known.size < most) known.add(name);
    return known.has(name) ? name : otherLabel;
  };
}
