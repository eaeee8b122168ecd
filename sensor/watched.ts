// Which interfaces are captured: what the configuration's entries mean now, followed as interfaces come, go and are renamed.
// Enters: entries, and the kernel's word on interfaces. Leaves: ports added to and removed from the capture, placed by the pinning plan.
import type { Capture, PortOptions } from "#native/engine.ts";
import { matching, type InterfaceEntry } from "#host/matching.ts";
import type { Pinner } from "#host/pinner.ts";
import type { InterfacePlan, PinningPolicy } from "#host/pinning.ts";

export interface Changes {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

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
    this.#links = watch(() => {
      const changes = this.update();
      if (changes.added.length + changes.removed.length > 0) changed(changes);
    });
  }

  /** Changes nothing when nothing changed. */
  update(): Changes {
    const { names } = this.wanted();
    const added = names.filter((name) => !this.#names.includes(name));
    const removed = this.#names.filter((name) => !names.includes(name));
    if (added.length === 0 && removed.length === 0) return { added, removed };
    this.#names = names;
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
    if (this.#capture) change(this.#capture).catch((cause: unknown) => this.#failed?.(name, cause));
  }

  stop(): void {
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
