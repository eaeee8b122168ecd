// What the process of made-up agents is told, and what it answers.
import { Started } from "#cli/started.ts";
import type { FleetShape } from "./made-fleet.ts";
import type { Truth } from "./traffic.ts";

export type Order =
  /** plans, signed with the key whose public half this is */
  | { readonly do: "follow"; readonly key: string }
  | { readonly do: "begin" | "pause" | "say" | "tell the truth" }
  | { readonly do: "lose at a sensor"; readonly node: number; readonly packets: number }
  | { readonly do: "lose on the way"; readonly rule: number; readonly edge: number; readonly packets: number };

export interface Standing {
  readonly connected: boolean;
  /** relays that run rules */
  readonly planned: number;
  readonly refused: readonly string[];
  readonly sent: number;
  readonly unsent: number;
}

export class Agents implements Disposable {
  readonly #process: Started;

  constructor(url: string, shape: FleetShape) {
    const program = `${import.meta.dirname}/agents.ts`;
    this.#process = new Started([process.execPath, "--disable-warning=ExperimentalWarning", program, JSON.stringify({ url, shape })], true); // biome-ignore format: one call
  }

  get pid(): number {
    return this.#process.pid;
  }
  async #ask<Answer>(order: Order): Promise<Answer> {
    return JSON.parse(await this.#process.ask(JSON.stringify(order))) as Answer;
  }

  follow(key: string): Promise<object> {
    return this.#ask({ do: "follow", key });
  }
  begin(): Promise<object> {
    return this.#ask({ do: "begin" });
  }
  pause(): Promise<object> {
    return this.#ask({ do: "pause" });
  }
  say(): Promise<Standing> {
    return this.#ask({ do: "say" });
  }
  truth(): Promise<Truth> {
    return this.#ask({ do: "tell the truth" });
  }
  /** When it happened, ms since 1970. */
  async lose(order: Extract<Order, { readonly packets: number }>): Promise<number> {
    return (await this.#ask<{ at: number }>(order)).at;
  }

  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
  }
}
