// Rules → engines. Enters: the rules, and a new picture of the surroundings whenever something changed. Leaves: what the engines were told, and how each rule stands.
import { TaplineError } from "#domain/errors.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import type { RelayEngine } from "#domain/vocabulary.ts";
import type { ResolvedRule, TunnelPort } from "#native/relay.ts";
import { type Choice, chooseEngine } from "./choose-engine.ts";
import type { Engines } from "./engines.ts";
import { find, type Found, resolve } from "./resolve.ts";
import type { Surroundings } from "./surroundings.ts";

/** How a rule stands. */
export interface Stand {
  readonly rule: NamedRule;
  readonly found: Found;
  readonly engine: RelayEngine | null;
  /** why this engine, or what it waits for */
  readonly why: string;
  /** waiting rules of one cause are told together */
  readonly cause: string;
  readonly state: "active" | "partial" | "waiting";
}

export interface ProgrammeOptions {
  readonly engines: Engines;
  /** of this node's tunnels, new whenever their numbering begins anew */
  readonly epoch: number;
  /** what carried the rules when an earlier process ended, by id */
  readonly carried: ReadonlyMap<string, RelayEngine>;
  /** Told after each time that the engines took what they were told. */
  readonly applied: (stands: ReadonlyMap<string, Stand>) => void;
}

/** turns between two attempts to programme what was refused */
const retryEvery = 5;

export class Programme {
  readonly #options: ProgrammeOptions;
  #near: Surroundings;
  /** undefined until it is known what is wanted: what runs in the kernel is left alone until then */
  #rules: readonly NamedRule[] | undefined;
  #stands: ReadonlyMap<string, Stand> = new Map();
  #failure: TaplineError | undefined;

  constructor(options: ProgrammeOptions, near: Surroundings) {
    this.#options = options;
    this.#near = near;
  }

  get stands(): ReadonlyMap<string, Stand> {
    return this.#stands;
  }
  get near(): Surroundings {
    return this.#near;
  }
  /** why the engines do not run what is wanted */
  get failure(): TaplineError | undefined {
    return this.#failure;
  }

  /** Throws RELAY_APPLY_FAILED, and then nothing has changed. */
  set(rules: readonly NamedRule[]): void {
    try {
      this.#apply(rules);
    } catch (error) {
      // The old ones have ended, and the new ones come when their room is free, in a second.
      if (!isWaitingForRoom(error)) throw error;
      this.#failure = error;
    }
    this.#rules = rules;
  }

  /** As `set`, but what fails is only kept, and tried again. */
  begin(rules: readonly NamedRule[]): void {
    this.#rules = rules;
    this.#again();
  }

  /** Something around the rules is different. */
  changed(near: Surroundings): void {
    this.#near = near;
    this.#again();
  }

  /** Called each second: what waits for room comes at once, what was refused after a while. */
  retry(turn: number): void {
    if (this.#failure && (isWaitingForRoom(this.#failure) || turn % retryEvery === 0)) this.#again();
  }

  #again(): void {
    if (!this.#rules) return;
    try {
      this.#apply(this.#rules);
    } catch (error) {
      if (!(error instanceof TaplineError)) throw error;
      this.#failure = error;
    }
  }

  #apply(rules: readonly NamedRule[]): void {
    const stands = this.#chosen(rules);
    const near = this.#near;
    const plan = {
      rules: stands.flatMap(({ rule, found, engine }): ResolvedRule[] =>
        engine === null ? [] : [resolve(rule, found, engine, this.#options.epoch)],
      ),
      tunnelPorts: tunnelPorts(stands, near),
      ownAddresses: near.addresses.map(({ address }) => address),
    };
    try {
      this.#options.engines.apply(plan);
    } catch (cause) {
      throw new TaplineError("RELAY_APPLY_FAILED", { detail: (cause as Error).message }, { cause });
    }
    this.#failure = undefined;
    this.#stands = new Map(stands.map((stand) => [stand.rule.id, stand]));
    this.#options.applied(this.#stands);
  }

  #chosen(rules: readonly NamedRule[]): Stand[] {
    const engines = this.#options.engines.states();
    const choose = (rule: NamedRule, found: Found): Choice =>
      found.waiting === undefined
        ? chooseEngine(rule, found.ends, this.#near, engines, this.#before(rule))
        : { engine: null, why: found.waiting };
    const stands = rules.map((rule) => {
      const found = find(rule, this.#near);
      return standOf(rule, found, choose(rule, found));
    });
    return oneEngineAGate(stands);
  }

  /** What carries it, if it is the same rule and all of it is carried; a rule that was changed, or lacked something, is chosen for anew. */
  #before(rule: NamedRule): { readonly engine: RelayEngine; readonly why: string } | undefined {
    const stand = this.#stands.get(rule.id);
    if (stand) {
      const same = stand.rule === rule || JSON.stringify(stand.rule) === JSON.stringify(rule);
      return same && stand.state === "active" && stand.engine !== null ? { engine: stand.engine, why: stand.why } : undefined; // biome-ignore format: one choice
    }
    const engine = this.#stands.size === 0 ? this.#options.carried.get(rule.id) : undefined;
    return engine && { engine, why: "as before this process" };
  }
}

const isWaitingForRoom = (error: unknown): error is TaplineError =>
  error instanceof TaplineError && (error.cause as { code?: unknown } | undefined)?.code === "RELAY_ROOM";

function standOf(rule: NamedRule, found: Found, { engine, why }: Choice): Stand {
  const cause = found.waiting === undefined ? "engine" : found.cause;
  if (engine === null) return { rule, found, engine, why, cause, state: "waiting" };
  const state = found.outputs.some(({ unready }) => unready !== undefined) ? "partial" : "active";
  return { rule, found, engine, why, cause, state };
}

const able = ["xdp", "tc", "afpacket"] as const;

/** What must be with one engine: rules of one group that differ in their sources only; tunnels that come to one interface. */
const gates = ({ rule: { from }, found }: Stand): string[] =>
  from.tunnel
    ? found.ends.inputs.map((ifindex) => `tunnel ${ifindex}`)
    : [`${found.ends.inputs[0]} ${from.vlan ?? 0} ${from.protocol} ${from.group ?? from.address} ${from.port}`];

/** Where rules of one gate would be with two engines, the one that can do more takes all that leave the choice. */
function oneEngineAGate(stands: readonly Stand[]): Stand[] {
  const taken = new Map<string, RelayEngine>();
  const more = (a: RelayEngine, b: RelayEngine): RelayEngine => (able.indexOf(a) > able.indexOf(b) ? a : b);
  for (const stand of stands)
    for (const gate of stand.engine === null ? [] : gates(stand))
      taken.set(gate, more(taken.get(gate) ?? "xdp", stand.engine as RelayEngine));
  return stands.map((stand) => {
    if (stand.engine === null) return stand;
    const engine = gates(stand).reduce<RelayEngine>((all, gate) => more(all, taken.get(gate) ?? "xdp"), stand.engine);
    if (engine === stand.engine) return stand;
    const why = `as others that come in the same way, by ${engine}`;
    if (stand.rule.engine === "Auto") return { ...stand, engine, why };
    return { ...stand, engine: null, why: `it must be carried ${why}`, cause: "engine", state: "waiting" };
  });
}

function tunnelPorts(stands: readonly Stand[], near: Surroundings): TunnelPort[] {
  const ports = new Map<string, TunnelPort>();
  for (const { rule, found, engine } of stands) {
    if (!rule.from.tunnel || engine === null) continue;
    for (const ifindex of found.ends.inputs) {
      const addresses = near.addresses.filter((one) => one.ifindex === ifindex).map(({ address }) => address);
      ports.set(`${ifindex} ${engine}`, { ifindex, addresses, engine });
    }
  }
  return [...ports.values()];
}
