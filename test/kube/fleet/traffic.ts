// What a made-up fleet's packets come to, to the packet: counts of each sensor and relay at a moment, and the truth about all of them. Pure. Everything follows from the
// time that traffic has gone on, so that two ends of a path that report at different moments still agree.
import { type FleetShape, partOf, poolName, poolOf, ruleName } from "./made-fleet.ts";

export interface SensorCounts {
  readonly seen: number;
  readonly ringDrops: number;
  readonly arp: number;
  readonly lost: number;
  readonly bytes: number;
  readonly pps: number;
}
export interface PoolTruth {
  readonly packets: number;
  readonly bytes: number;
  readonly lost: number;
  readonly flows: number;
  readonly drops: Readonly<Record<string, number>>;
}
export interface RuleTruth {
  readonly received: number;
  readonly sent: number;
  readonly lost: number;
  readonly dropped: number;
}
export interface Truth {
  readonly pools: Readonly<Record<string, PoolTruth>>;
  readonly rules: Readonly<Record<string, RuleTruth>>;
}

interface Outage {
  /** number of the first packet that did not come */
  readonly from: number;
  readonly packets: number;
}

export const flowsPerSensor = 1000;
export const bytesPerPacket = 700;
const share = (count: number, part: number): number => Math.floor(count / part);

/** Some lose a little all the time, some nothing but what they are told to: their losses can be told apart in a status. */
export const losesAlways = { pool: (pool: number): boolean => pool === 0, rule: (rule: number): boolean => rule % 2 === 0 }; // biome-ignore format: one row

export class Traffic {
  readonly #shape: FleetShape;
  readonly #now: () => number;
  #begun: number | undefined;
  #paused: number | undefined;
  /** by node */
  readonly #lostAtSensor = new Map<number, number>();
  /** by rule and edge */
  readonly #outages = new Map<string, Outage[]>();

  /** `now`: milliseconds that only grow. */
  constructor(shape: FleetShape, now: () => number) {
    this.#shape = shape;
    this.#now = now;
  }

  begin(): void {
    this.#begun ??= Math.floor(this.#now());
  }
  pause(): void {
    this.#paused ??= this.#ms;
  }
  get flows(): boolean {
    return this.#begun !== undefined && this.#paused === undefined;
  }
  /** that traffic has gone on */
  get #ms(): number {
    return this.#paused ?? (this.#begun === undefined ? 0 : Math.floor(this.#now()) - this.#begun);
  }

  sensorLoses(node: number, packets: number): void {
    this.#lostAtSensor.set(node, (this.#lostAtSensor.get(node) ?? 0) + packets);
  }
  /** The next so many packets between the rule's core and that edge never come. */
  wayLoses(rule: number, edge: number, packets: number): void {
    const key = `${rule} ${edge}`;
    this.#outages.set(key, [...(this.#outages.get(key) ?? []), { from: this.sent(rule), packets }]);
  }

  sensor(node: number): SensorCounts {
    const pps = 9000 + (node % 7) * 500;
    const seen = Math.floor((pps * this.#ms) / 1000);
    const always = losesAlways.pool(poolOf(node, this.#shape)) && node % 10 === 0;
    return {
      seen,
      ringDrops: node % 100 === 7 ? share(seen, 50_000) : 0,
      arp: share(seen, 1000),
      lost: (always ? share(seen, 10_000) : 0) + (this.#lostAtSensor.get(node) ?? 0),
      bytes: seen * bytesPerPacket,
      pps: this.flows ? pps : 0,
    };
  }

  /** Packets of a rule that its source has taken: and sent to the core, and that to each edge. */
  sent(rule: number): number {
    return Math.floor((this.pps(rule) * this.#ms) / 1000);
  }
  pps(rule: number): number {
    return 8000 + 100 * rule;
  }
  lostOnWay(rule: number, edge: number): number {
    const sent = this.sent(rule);
    const always = losesAlways.rule(rule) && edge % 8 === 0 ? share(sent, 5000) : 0;
    const outages = this.#outages.get(`${rule} ${edge}`) ?? [];
    return always + outages.reduce((sum, { from, packets }) => sum + Math.min(packets, sent - from), 0);
  }
  /** Copies that an edge could not send. */
  droppedAtEdge(rule: number, edge: number): number {
    return rule === 0 && edge % 4 === 1 ? share(this.sent(rule) - this.lostOnWay(rule, edge), 2000) : 0;
  }

  truth(): Truth {
    const { nodes, pools, rules, edges } = this.#shape;
    const ofPool = (pool: number): PoolTruth => {
      const sensors = numbers(nodes).filter((node) => poolOf(node, this.#shape) === pool).map((node) => this.sensor(node)); // biome-ignore format: one row
      const sum = (pick: (one: SensorCounts) => number): number => sensors.reduce((all, one) => all + pick(one), 0);
      const drops = { ring_drops: sum(({ ringDrops }) => ringDrops), arp: sum(({ arp }) => arp) };
      return {
        packets: sum(({ seen }) => seen),
        bytes: sum(({ bytes }) => bytes),
        lost: sum(({ lost }) => lost),
        flows: sensors.length * flowsPerSensor,
        drops: Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0)),
      };
    };
    const ofRule = (rule: number): RuleTruth => {
      const sum = (pick: (edge: number) => number): number => numbers(edges).reduce((all, edge) => all + pick(edge), 0);
      const [lost, dropped] = [sum((edge) => this.lostOnWay(rule, edge)), sum((edge) => this.droppedAtEdge(rule, edge))]; // biome-ignore format: one row
      return { received: this.sent(rule), sent: this.sent(rule) * edges - lost - dropped, lost, dropped };
    };
    return {
      pools: Object.fromEntries(numbers(pools).map((pool) => [poolName(pool), ofPool(pool)])),
      rules: Object.fromEntries(numbers(rules).map((rule) => [ruleName(rule), ofRule(rule)])),
    };
  }
}

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
/** Nodes that have a relay. */
export const relayNodes = (shape: FleetShape): number[] => numbers(shape.nodes).filter((node) => partOf(node, shape) !== undefined); // biome-ignore format: one row
