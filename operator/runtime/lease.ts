// Who of several operators leads, by a Lease (coordination.k8s.io/v1). Enters: a lease's name and who we are. Leaves: `lead` is called while we hold it.
// Clocks of two machines are never compared: a lease has run out when it was not seen to change for its whole duration, by our own clock that only grows.
// A leader that could not renew for `renewMs` leads no more, which is before anybody else may; one that ends in order gives the lease back.
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import type { Log } from "#process/log.ts";
import { hasCode } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { keyOf, type KubeObject, type Resource } from "./objects.ts";

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}
export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}
export const leases: Resource<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  namespaced: true,
};

export interface LeaseDurations {
  readonly leaseMs: number;
  /** less than leaseMs: the difference is what writes under way have to arrive */
  readonly renewMs: number;
  readonly retryMs: number;
}
const usual: LeaseDurations = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2000 };

export interface ElectionOptions {
  /** one of its own, without a limit of writes: nothing else may delay a renewal */
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** of this process and no other: the pod's name and something random */
  readonly identity: string;
  readonly log: Log;
  readonly metrics: OperatorMetrics;
  readonly durations?: LeaseDurations;
  /** milliseconds that only grow */
  readonly now?: () => number;
  /** milliseconds since 1970: for people who read the lease */
  readonly wallClock?: () => number;
  /** [0, 1) */
  readonly random?: () => number;
}

export class LeaderElection {
  readonly #options: ElectionOptions;
  readonly #durations: LeaseDurations;
  readonly #now: () => number;
  /** as it was last seen, and when that was seen first */
  #seen: { readonly lease: Lease; readonly at: number } | undefined;
  /** before the request was sent that took or renewed it */
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#durations = options.durations ?? usual;
    this.#now = options.now ?? (() => performance.now());
    options.metrics.set("tapline_operator_leader", {}, 0);
  }

  /** Also right when this process stood still for a while and its timers did not come. */
  holds(): boolean {
    return this.#now() - this.#renewedAt < this.#durations.renewMs;
  }

  /** It was looked at, and may be anybody's. */
  get known(): boolean {
    return this.#seen !== undefined;
  }

  /** For a client's fence. */
  readonly fence = (): void => {
    if (!this.holds()) throw this.#lost("a write came after the lease was not renewed in time");
  };

  /**
   * Waits until it leads, then calls `lead`. Ends when the signal is aborted, or `lead` ends, and then gives the lease back.
   * Throws LEASE_LOST at once, without waiting for `lead`: the process is to end.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { log, metrics, identity } = this.#options;
    if (!(await this.#acquire(signal))) return;
    log.notice("began to lead", { identity });
    metrics.set("tapline_operator_leader", {}, 1);
    const over = new AbortController();
    const lost = new AbortController();
    const led = lead(AbortSignal.any([signal, lost.signal])).finally(() => over.abort());
    led.catch(() => undefined); // awaited below, once the renewal under way is over
    try {
      // It goes on while `lead` ends, too.
      await this.#renew(over.signal);
    } catch (error) {
      lost.abort(error);
      led.catch((cause: unknown) => log.warning("ended leading with an error", { error: cause }));
      throw error;
    } finally {
      metrics.set("tapline_operator_leader", {}, 0);
    }
    try {
      await led;
    } finally {
      await this.#release();
    }
  }

  /** False when the signal was aborted before. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { random = Math.random } = this.#options;
    const { retryMs } = this.#durations;
    while (!signal.aborted) {
      if (await this.#attempt(signal)) return true;
      // Not later than the moment when it runs out; a little later by chance, for several may wait.
      const wait = Math.min(retryMs, Math.max(0, this.#runsOutIn())) + (random() * retryMs) / 10;
      await sleep(wait, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
    }
    return false;
  }

  /** Until the signal is aborted; throws LEASE_LOST. */
  async #renew(over: AbortSignal): Promise<void> {
    const { retryMs, renewMs } = this.#durations;
    while (!over.aborted) {
      await sleep(retryMs, undefined, { signal: over }).catch(() => undefined); // the loop looks at the signal
      if (over.aborted) return;
      await this.#attempt(AbortSignal.any([over, AbortSignal.timeout(Math.max(1, Math.ceil(renewMs - this.#age())))]));
      if (over.aborted) return;
      const holder = this.#seen?.lease.spec?.holderIdentity;
      if (holder !== this.#options.identity) throw this.#lost(`it is held by ${holder ?? "nobody"}`);
      if (this.#age() >= renewMs) throw this.#lost(`it could not be renewed for ${renewMs / 1000} s`);
    }
  }

  #age(): number {
    return this.#now() - this.#renewedAt;
  }

  /** Takes or renews it; false when that is not possible now. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    const { client, identity, log, metrics } = this.#options;
    const count = (result: string): void => metrics.add("tapline_operator_lease_attempts_total", { result }, 1);
    // A connection that says nothing must leave time for another.
    const patient = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(this.#durations.renewMs / 2))]);
    try {
      // A leader knows the lease as it wrote it.
      if (this.#seen === undefined || !this.#isOurs()) this.#see(await client.find(leases, this.#options, patient));
      if (this.#seen !== undefined && !this.#isOurs() && this.#runsOutIn() > 0) {
        count("held");
        return false;
      }
      const sentAt = this.#now();
      const wanted = this.#taken(this.#seen?.lease);
      const write = this.#seen === undefined ? client.create : client.update;
      this.#see((await write.call(client, leases, wanted, patient)) as Lease);
      this.#renewedAt = sentAt;
      count("held_by_us");
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      count("failed");
      if (hasCode(error, "KUBE_CONFLICT", "KUBE_ALREADY_EXISTS", "KUBE_NOT_FOUND")) {
        // Somebody else wrote it: as it is now, it is seen at the next attempt; for a leader at once.
        await this.#lookAgain(patient);
        return false;
      }
      log.warning("failed to take or renew the lease", { lease: keyOf(this.#options), identity, error });
      return false;
    }
  }

  async #lookAgain(signal: AbortSignal): Promise<void> {
    try {
      this.#see(await this.#options.client.find(leases, this.#options, signal));
    } catch (error) {
      this.#options.log.warning("failed to look at the lease", { lease: keyOf(this.#options), error });
    }
  }

  #isOurs(): boolean {
    return this.#seen?.lease.spec?.holderIdentity === this.#options.identity;
  }

  #see(lease: Lease | undefined): void {
    const before = this.#seen?.lease;
    if (lease === undefined) this.#seen = undefined;
    else if (before?.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    else this.#seen = { lease, at: this.#now() };
  }

  /** Milliseconds until somebody else may take it. */
  #runsOutIn(): number {
    if (this.#seen === undefined) return 0;
    const { holderIdentity, leaseDurationSeconds } = this.#seen.lease.spec ?? {};
    if (!holderIdentity) return 0;
    // What its holder reckons with, which may be of another version.
    const leaseMs = leaseDurationSeconds === undefined ? this.#durations.leaseMs : leaseDurationSeconds * 1000;
    return this.#seen.at + leaseMs - this.#now();
  }

  #taken(lease: Lease | undefined): Lease {
    const { namespace, name, identity } = this.#options;
    const time = this.#microTime();
    const before = lease?.spec ?? {};
    const ours = before.holderIdentity === identity;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: lease?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#durations.leaseMs / 1000),
        acquireTime: ours ? (before.acquireTime ?? time) : time,
        renewTime: time,
        leaseTransitions: (before.leaseTransitions ?? 0) + (ours || lease === undefined ? 0 : 1),
      },
    };
  }

  /** The others need not wait. */
  async #release(): Promise<void> {
    const { client, log, identity } = this.#options;
    if (this.#seen === undefined || !this.#isOurs()) return;
    const { lease } = this.#seen;
    const { holderIdentity: _, ...rest } = lease.spec ?? {};
    const given: Lease = { ...lease, spec: { ...rest, leaseDurationSeconds: 1, renewTime: this.#microTime() } };
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    try {
      this.#see(await client.update(leases, given, AbortSignal.timeout(Math.ceil(this.#durations.renewMs / 2))));
      log.notice("gave the lease back", { identity });
    } catch (error) {
      log.warning("failed to give the lease back; it runs out by itself", { identity, error });
    }
  }

  /** The API's MicroTime has six digits. */
  #microTime(): string {
    const { wallClock = Date.now } = this.#options;
    return new Date(wallClock()).toISOString().replace("Z", "000Z");
  }

  #lost(detail: string): TaplineError {
    return new TaplineError("LEASE_LOST", { detail });
  }
}
