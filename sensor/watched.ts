// Which interfaces are captured: what the configuration's entries mean now, followed as interfaces come, go and are renamed.
// Enters: entries, and the kernel's word on interfaces. Leaves: ports added to and removed from the capture, placed by the pinning plan.
import { TaplineError, type ErrorCode, type ErrorDetails } from "#domain/errors.ts";
import type { Capture, PortOptions } from "#native/engine.ts";
import { matching, type InterfaceEntry } from "#host/matching.ts";
import type { Pinner } from "#host/pinner.ts";
import type { InterfacePlan, PinningPolicy } from "#host/pinning.ts";
import { engineError } from "./engine-error.ts";

export interface Changes {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export interface Refused {
  readonly name: string;
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
}

const againMs = 10_000;

export interface Followers {
  readonly changed: (changes: Changes) => void;
  /** the capture would not do it */
  readonly failed: (name: string, cause: unknown) => void;
}

interface Disposer {
  stop(): void;
}

export interface Wanted {
  readonly names: readonly string[];
  /** asked for by name, and not there */
  readonly absent: readonly string[];
}

export class Watched {
  readonly #pinner: Pinner;
  readonly #threads: number;
  #entries: readonly InterfaceEntry[];
  #policy: PinningPolicy;
  #names: readonly string[] = [];
  #capture: Capture | undefined;
  #failed: Followers["failed"] | undefined;
  #links: Disposer | undefined;
  #again: NodeJS.Timeout | undefined;
  readonly #refused = new Map<string, Refused>();

  /** `threads`: for each interface */
  constructor(pinner: Pinner, threads: number, entries: readonly InterfaceEntry[], policy: PinningPolicy) {
    this.#pinner = pinner;
    this.#threads = threads;
    this.#entries = entries;
    this.#policy = policy;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  wanted(): Wanted {
    const { interfaces, absent } = matching(this.#entries, this.#pinner.interfaces());
    return { names: [...interfaces.map(({ name }) => name), ...absent], absent };
  }

  /** What to begin the capture with. */
  ports(): PortOptions[] {
    this.#names = this.wanted().names;
    return this.#placed(this.#names);
  }

  follow(capture: Capture, watch: (onChange: () => void) => Disposer, { changed, failed }: Followers): void {
    this.#capture = capture;
    this.#failed = failed;
    const look = (): void => {
      const changes = this.update();
      if (changes.added.length + changes.removed.length > 0) changed(changes);
    };
    this.#links = watch(look);
    this.#again = setInterval(() => {
      if (this.#refused.size > 0) look();
    }, againMs).unref();
  }

  /** Changes nothing when nothing changed. */
  update(): Changes {
    const { names } = this.wanted();
    const added = names.filter((name) => !this.#names.includes(name));
    const removed = this.#names.filter((name) => !names.includes(name));
    if (added.length === 0 && removed.length === 0) return { added, removed };
    this.#names = names;
    for (const name of this.#refused.keys()) if (!names.includes(name)) this.#refused.delete(name);
    for (const name of removed) this.#try(name, (capture) => capture.remove(name));
    for (const port of this.#placed(names))
      if (added.includes(port.name)) this.#try(port.name, (capture) => capture.add(port));
    return { added, removed };
  }

  change(entries: readonly InterfaceEntry[], policy: PinningPolicy): Changes {
    const rearrange = policy.irq !== this.#policy.irq;
    this.#entries = entries;
    this.#policy = policy;
    const changes = this.update();
    if (rearrange) this.#placed(this.#names);
    return changes;
  }

  #try(name: string, change: (capture: Capture) => Promise<void>): void {
    if (!this.#capture) return;
    this.#refused.delete(name);
    change(this.#capture).catch((cause: unknown) => {
      const error = engineError(cause, name);
      this.#failed?.(name, error);
      if (!(error instanceof TaplineError)) return;
      this.#refused.set(name, { name, code: error.code, details: error.details });
      // Not among the watched, so the next look tries again.
      this.#names = this.#names.filter((one) => one !== name);
    });
  }

  /** The capture would not take them; tried again with the next change, or after a while. */
  get refused(): readonly Refused[] {
    return [...this.#refused.values()];
  }

  stop(): void {
    clearInterval(this.#again);
    this.#links?.stop();
  }

  #placed(names: readonly string[]): PortOptions[] {
    const captured = names.map((name) => ({ name, threads: this.#threads }));
    const plans = this.#pinner.arrange(this.#policy, captured);
    return names.map((name) => ({ name, ...placement(plans.find((plan) => plan.interface === name)) }));
  }
}

function placement(plan: InterfacePlan | undefined): Omit<PortOptions, "name"> {
  if (!plan) return {};
  return {
    ...("desired" in plan.threads ? { cpus: plan.threads.desired } : {}),
    ...("desired" in plan.memory ? { node: plan.memory.desired } : {}),
  };
}
