// The plans of many relays, over one connection: each is verified and unpacked as a relay does it, and then it runs. Enters: keys and objects of NATS. Leaves: what
// each node runs, for its reports to acknowledge.
import type { KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { KvEntry, NatsConnection, ObjectStore } from "nats";
import { openPlan, readNotice } from "#bus/plan-seal.ts";
import { planBucket, planKey } from "#domain/subjects.ts";
import type { Running } from "./agent-reports.ts";
import { fleet, nodeName } from "./made-fleet.ts";

const nothing: Running = { generation: 0, digest: null, rules: [] };
const pauseMs = 500;

export class PlanFollower {
  readonly #key: KeyObject;
  readonly #nodes: ReadonlyMap<string, number>;
  readonly #running = new Map<number, Running>();
  /** one plan of a node after the other */
  readonly #working = new Map<number, Promise<void>>();
  readonly refused: string[] = [];

  constructor(key: KeyObject, nodes: readonly number[]) {
    this.#key = key;
    this.#nodes = new Map(nodes.map((node) => [planKey(nodeName(node)), node]));
  }

  running(node: number): Running {
    return this.#running.get(node) ?? nothing;
  }
  get planned(): number {
    return [...this.#running.values()].filter(({ rules }) => rules.length > 0).length;
  }

  /** For as long as the session stands. The operator makes the bucket: until then there is none. */
  async follow(session: NatsConnection): Promise<void> {
    const bucket = planBucket(fleet);
    const jetstream = session.jetstream();
    const manager = await jetstream.jetstreamManager(false);
    while (!session.isClosed()) {
      try {
        for (const kind of ["KV", "OBJ"]) await manager.streams.info(`${kind}_${bucket}`);
        break;
      } catch {
        await sleep(pauseMs); // not there yet
      }
    }
    const keys = await jetstream.views.kv(bucket, { bindOnly: true });
    const objects = await jetstream.views.os(bucket);
    for await (const entry of await keys.watch()) {
      const node = this.#nodes.get(entry.key);
      if (node === undefined || entry.operation !== "PUT") continue;
      const before = this.#working.get(node) ?? Promise.resolve();
      this.#working.set(
        node,
        before.then(() => this.#take(node, entry, objects)),
      );
    }
  }

  async #take(node: number, entry: KvEntry, objects: ObjectStore): Promise<void> {
    const place = { fleet, node: nodeName(node) };
    try {
      const notice = readNotice(entry.value, place, this.#key, this.running(node));
      if (!notice) return;
      const data = await objects.getBlob(notice.object);
      // A newer one has taken its place meanwhile; its notice comes next.
      if (data === null) return;
      const { rules } = openPlan(data, notice, place);
      this.#running.set(node, { generation: notice.generation, digest: notice.digest, rules });
    } catch (error) {
      this.refused.push(`${place.node}: ${(error as Error).message}`);
    }
  }
}
