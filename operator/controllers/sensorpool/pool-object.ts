// A SensorPool of the cluster as the controller sees it.
import type { SensorPoolSpec } from "#domain/sensor-pool.ts";

export interface PoolObject {
  readonly name: string;
  readonly uid: string;
  /** creationTimestamp, RFC 3339 in UTC */
  readonly created: string;
  readonly generation: number;
  readonly leaving?: boolean;
  readonly spec: SensorPoolSpec;
}
