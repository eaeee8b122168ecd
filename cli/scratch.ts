// A folder for a measurement's files, gone when disposed of, and at the process's exit, however it comes about.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tapline-bench-"));
  readonly #remove = (): void => this[Symbol.dispose]();

  constructor() {
    process.once("exit", this.#remove);
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    rmSync(this.path, { recursive: true, force: true });
  }
}
