// Bytes as they come → whole lines. Bounded: a line that is longer than it may be is refused before it is held.
import { TaplineError } from "#domain/errors.ts";

const lineFeed = 0x0a;

export class Lines {
  readonly #most: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** bytes of a line that has not ended */
  get waiting(): number {
    return this.#bytes;
  }

  /** Empty lines are left out. Throws CONTROL_TOO_LONG. */
  *take(part: Buffer): Generator<Buffer> {
    let rest = part;
    for (let end = rest.indexOf(lineFeed); end >= 0; end = rest.indexOf(lineFeed)) {
      this.#hold(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const line = Buffer.concat(this.#parts);
      this.#parts = [];
      this.#bytes = 0;
      if (line.length > 0) yield line;
    }
    if (rest.length > 0) this.#hold(rest);
  }

  #hold(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#most) throw new TaplineError("CONTROL_TOO_LONG", { most: this.#most });
    this.#parts.push(part);
  }
}
