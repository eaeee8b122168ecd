// Which interfaces are captured: what the configuration's entries mean now, followed as interfaces come, go and are renamed.
// Enters: entries, and the kernel's word on interfaces. Leaves: ports added to and removed from the capture, placed by the pinning plan.
// One that is refused is tried again: with the next change of interfaces, or after a while.
import { TaplineError, type ErrorCode, type ErrorDetails } from "#domain/errors.ts";
import type { Capture, PortOptions } from "#native/engine.ts";
import { matching, type InterfaceEntry } from "#host/matching.ts";
import type { Pinner } from "#host/pinner.ts";
import type { InterfacePlan, PinningPolicy } from "#host/pinning.ts";
import { engineError } from "./engine-error.ts";
import type { RingRoom } from "./settings.ts";

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
  /** the capture would not do it; told once, however often it is tried again */
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

const MiB = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

/** When not even one interface's rings have room on this machine, no time mends that. */
export function oneRingFits({ each }: RingRoom): void {
  const free = process.availableMemory();
  if (each > free)
    throw new TaplineError("CAPTURE_RING_FAILED", {
      path: "an interface",
      detail: `${MiB(each)} asked for, and this machine has ${MiB(free)} left`,
    });
}

export class Watched {
  readonly #pinner: Pinner;
  readonly #threads: number;
  #entries: readonly InterfaceEntry[];
  #policy: PinningPolicy;
  #room: RingRoom;
  /** that are meant, refused ones among them */
  #names: readonly string[] = [];
  #capture: Capture | undefined;
  #failed: Followers["failed"] | undefined;
  #links: Disposer | undefined;
  #again: NodeJS.Timeout | undefined;
  readonly #refused = new Map<string, Refused>();
  /** whose rings are made, waited for, or asked for */
  readonly #held = new Set<string>();

  /** `threads`: for each interface */
  constructor(
    pinner: Pinner,
    threads: number,
    entries: readonly InterfaceEntry[],
    policy: PinningPolicy,
    room: RingRoom,
  ) {
    this.#pinner = pinner;
    this.#threads = threads;
    this.#entries = entries;
    this.#policy = policy;
    this.#room = room;
  }

  /** Watched, or waited for. */
  get names(): readonly string[] {
    return this.#names.filter((name) => this.#held.has(name) && !this.#refused.has(name));
  }

  /** The capture would not take them. */
  get refused(): readonly Refused[] {
    return [...this.#refused.values()];
  }

  wanted(): Wanted {
    const { interfaces, absent } = matching(this.#entries, this.#pinner.interfaces());
    return { names: [...interfaces.map(({ name }) => name), ...absent], absent };
  }

  /** Adds all there are, then follows them as they come and go. Settles when the capture has answered for each. */
  async follow(
    capture: Capture,
    watch: (onChange: () => void) => Disposer,
    { changed, failed }: Followers,
  ): Promise<void> {
    this.#capture = capture;
    this.#failed = failed;
    this.#names = this.wanted().names;
    await Promise.all(this.#placed(this.#names).map((port) => this.#add(port)));
    const look = (): void => {
      const changes = this.update();
      if (changes.added.length + changes.removed.length > 0) changed(changes);
    };
    this.#links = watch(look);
    this.#again = setInterval(() => {
      if (this.#refused.size > 0) look();
    }, againMs).unref();
  }

  /** Changes nothing when nothing changed and nothing was refused. */
  update(): Changes {
    const { names } = this.wanted();
    const added = names.filter((name) => !this.#names.includes(name));
    const removed = this.#names.filter((name) => !names.includes(name));
    const again = names.filter((name) => this.#refused.has(name) && !this.#held.has(name));
    if (added.length + removed.length + again.length === 0) return { added, removed };
    this.#names = names;
    for (const name of removed) void this.#remove(name);
    for (const port of this.#placed(names))
      if (added.includes(port.name) || again.includes(port.name)) void this.#add(port);
    return { added, removed };
  }

  change(entries: readonly InterfaceEntry[], policy: PinningPolicy, room: RingRoom): Changes {
    const rearrange = policy.irq !== this.#policy.irq;
    this.#entries = entries;
    this.#policy = policy;
    this.#room = room;
    const changes = this.update();
    if (rearrange) this.#placed(this.#names);
    return changes;
  }

  stop(): void {
    clearInterval(this.#again);
    this.#links?.stop();
  }

  async #add(port: PortOptions): Promise<void> {
    const { name } = port;
    try {
      this.#fits(name);
      this.#held.add(name);
      await this.#capture?.add(port);
      this.#refused.delete(name);
    } catch (cause) {
      this.#held.delete(name);
      this.#refuse(name, engineError(cause, name));
    }
  }

  async #remove(name: string): Promise<void> {
    this.#held.delete(name);
    if (this.#refused.delete(name)) return;
    await this.#capture?.remove(name).catch((cause: unknown) => this.#failed?.(name, engineError(cause, name)));
  }

  #refuse(name: string, error: unknown): void {
    if (!this.#names.includes(name)) return; // it has gone meanwhile
    const known = this.#refused.get(name)?.code;
    if (!(error instanceof TaplineError) || error.code !== known) this.#failed?.(name, error);
    if (error instanceof TaplineError) this.#refused.set(name, { name, code: error.code, details: error.details });
  }

  /** Rings that are waited for count, too: they are made when their interface comes. */
  #fits(name: string): void {
    const { each, all } = this.#room;
    const others = this.#held.size;
    if ((others + 1) * each < all) return;
    throw new TaplineError("CAPTURE_RING_FAILED", {
      path: name,
      detail: `${MiB(each)} asked for, and of the budget of ${MiB(all)} the rings of other interfaces take ${MiB(others * each)}`,
    });
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
