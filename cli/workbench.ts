// A folder for the captures and databases of a measurement, gone when it is over.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engine, type GenerateOptions } from "#native/engine.ts";
import { engineError } from "#sensor/engine-error.ts";
import { progress } from "./progress.ts";
import { grouped } from "./numbers.ts";

export type Traffic = Pick<GenerateOptions, "packets" | "flows" | "protocol" | "seed" | "loss" | "minSize" | "maxSize">;

export interface Made {
  readonly path: string;
  readonly truth: string;
  readonly packets: number;
  readonly flows: number;
  /** on the wire */
  readonly bytes: number;
}

export class Workbench implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "tapline-"));
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Freshly written, so it is in the page cache. */
  async make(name: string, traffic: Traffic): Promise<Made> {
    this.#signal.throwIfAborted();
    const path = join(this.folder, `${name}.pcap`);
    const truth = join(this.folder, `${name}.truth.json`);
    const work = engine().generate({
      ...traffic, path, truthPath: truth, reorder: 0, duplicate: 0, rekey: 0, xpn: false, esn: false, ipv6: false, vlan: false,
      pps: 1e6, nanosecond: true, pcapng: false, startNs: 1_700_000_000_000_000_000n,
    }); // biome-ignore format: one list
    const stop = (): void => work.stop();
    this.#signal.addEventListener("abort", stop, { once: true });
    using _bar = progress(`generating ${grouped(traffic.packets)} packets`, () => ({
      share: work.progress().packets / traffic.packets,
      notes: [],
    }));
    try {
      const made = await work.done;
      this.#signal.throwIfAborted();
      return { path, truth, packets: made.packets, flows: made.flows, bytes: made.bytes };
    } catch (error) {
      throw engineError(error, path);
    } finally {
      this.#signal.removeEventListener("abort", stop);
    }
  }

  get database(): string {
    return join(this.folder, "results.db");
  }

  remove(made: Made): void {
    rmSync(made.path, { force: true });
    rmSync(made.truth, { force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
