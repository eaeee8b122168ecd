// Which row of a column of packet numbers holds a number: open addressing over the column itself, four to eight bytes a row. A Map of
// a million numbers would take ten times the memory and the time.

const empty = -1;
const removed = -2;

export class PacketRows {
  #places = new Int32Array(0);
  #mask = 0;
  #keys: Float64Array = new Float64Array(0);

  /** Forgets what it knew. */
  fill(keys: Float64Array, length: number): void {
    let size = 1024;
    while (size < length * 2) size *= 2;
    if (this.#places.length !== size) this.#places = new Int32Array(size);
    this.#places.fill(empty);
    this.#mask = size - 1;
    this.#keys = keys;
    for (let row = 0; row < length; row++) {
      let at = this.#home(keys[row] as number);
      while (this.#places[at] !== empty) at = (at + 1) & this.#mask;
      this.#places[at] = row;
    }
  }

  find(packet: number): number | undefined {
    const at = this.#place(packet);
    return at === undefined ? undefined : this.#places[at];
  }

  remove(packet: number): void {
    const at = this.#place(packet);
    if (at !== undefined) this.#places[at] = removed;
  }

  /** The number's row is another from now on. */
  move(packet: number, row: number): void {
    const at = this.#place(packet);
    if (at !== undefined) this.#places[at] = row;
  }

  #place(packet: number): number | undefined {
    if (this.#places.length === 0) return undefined;
    for (let at = this.#home(packet); ; at = (at + 1) & this.#mask) {
      const row = this.#places[at] as number;
      if (row === empty) return undefined;
      if (row >= 0 && this.#keys[row] === packet) return at;
    }
  }

  #home(packet: number): number {
    const mixed = Math.imul((packet >>> 0) ^ (packet / 2 ** 32), 0x9e_37_79_b1);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}
