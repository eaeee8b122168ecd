// What the tests of the runtime are made of: a client, its metrics as figures, log lines as a list, and objects to write.
import { Registry } from "prom-client";
import { severities } from "#domain/severity.ts";
import { type Access, kubeconfigAccess } from "#operator/runtime/access.ts";
import { type ClientOptions, KubeClient } from "#operator/runtime/client.ts";
import { OperatorMetrics } from "#operator/runtime/metrics.ts";
import type { KubeObject, Resource } from "#operator/runtime/objects.ts";
import type { Log } from "#process/log.ts";

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}
export const configMaps: Resource<ConfigMap> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  namespaced: true,
};
export const configMap = (name: string, data: Readonly<Record<string, string>>, namespace = "default"): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
  data,
});

export const direct = (kubeconfig: string): Access => kubeconfigAccess(kubeconfig, () => performance.now());
export const through = (url: string): Access => ({ server: new URL(url) });

export const makeClient = (access: Access, options: Partial<ClientOptions> = {}): KubeClient =>
  new KubeClient({ access, fieldManager: "test", ...options });

export interface Figures {
  readonly metrics: OperatorMetrics;
  /** summed over all labels that are not given */
  of(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
}

export function makeFigures(): Figures {
  const registry = new Registry();
  const metrics = new OperatorMetrics(registry);
  return {
    metrics,
    of: async (name, labels = {}) => {
      const found = (await registry.getMetricsAsJSON()).find((metric) => metric.name === name);
      if (found === undefined) throw new Error(`there is no metric ${name}`);
      const fits = (of: Partial<Record<string, string | number>>): boolean =>
        Object.entries(labels).every(([label, value]) => of[label] === value);
      return found.values.filter((value) => fits(value.labels)).reduce((sum, { value }) => sum + value, 0);
    },
  };
}

export interface Line {
  readonly severity: string;
  readonly message: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export function recordedLog(): { readonly log: Log; readonly lines: Line[] } {
  const lines: Line[] = [];
  const entries = severities.map((severity) => [
    severity,
    (message: string, values: Readonly<Record<string, unknown>> = {}) => void lines.push({ severity, message, values }),
  ]);
  return { log: Object.fromEntries(entries) as Log, lines };
}
