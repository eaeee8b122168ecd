// One tunnel path, seen from both ends: how many of the packets that were sent never came. Enters: what the sender's and the receiver's reports say of
// the path. Leaves: sent, and lost in the network.
//
// Two lower bounds, of which the higher holds, and which meet when traffic pauses:
//   receiver's lost − what the sender dropped after it had numbered it    exact while packets come; blind for what is lost after the last that came
//   sent a while ago − unique                                             sees a hop that fell silent; behind by that while
// Both ends' counters may begin anew (a node that starts again), and are then added to what was. A number that was lost stays lost. In doubt it tells less.

export interface SentRow {
  readonly sent: number;
  readonly dropped: Readonly<Partial<Record<string, number>>>;
}
export interface CameRow {
  readonly unique: number;
  readonly lost: number;
  readonly pending: number;
}

/** Sent longer ago than this, a packet has come or never will. Reports of both ends are a second apart, at most two. */
const underwayMs = 2500;
/** Nothing new for so long: silent. */
export const silentMs = 3000;
/** A loss is told for so long after the last lost packet. */
export const lossToldMs = 60_000;
/** Two reports that come so far apart were made in this order. */
const outOfStepMs = 300;
/** For so long after packets were first seen to come, a difference that no hole explains is one of the counters' beginnings. */
const settlingMs = 15_000;
/** What the sender drops under these reasons may have had its number already (native/src/relay). */
const afterNumbering = ["device", "interface", "buffer", "worker"] as const;

/** A counter that may begin anew. */
class Sum {
  total = 0;
  #last = 0;
  /** False when it fell. */
  see(value: number): boolean {
    const fell = value < this.#last;
    this.total += fell ? value : value - this.#last;
    this.#last = value;
    return !fell;
  }
}

export class PathLedger {
  readonly #sent = new Sum();
  readonly #after = new Sum();
  readonly #unique = new Sum();
  readonly #windowLost = new Sum();
  /** sums, oldest first: as far back as is needed */
  readonly #sentBy: { readonly at: number; readonly sum: number }[] = [];
  readonly #lostBy: { readonly at: number; readonly sum: number }[] = [];
  /** how much more the sender's counters have seen than the receiver's, for another reason than loss */
  #ahead = 0;
  /** until then: see settlingMs */
  #settling = Infinity;
  #misaligned = false;
  #pending = 0;
  /** of the receiver between its last two reports */
  #rose = 0;
  #cameAt = -Infinity;
  #sentAt = -Infinity;
  #lost = 0;
  #lostAt = -Infinity;

  sent(row: SentRow, now: number): void {
    const before = this.#sent.total;
    this.#sent.see(row.sent);
    this.#after.see(afterNumbering.reduce((sum, reason) => sum + (row.dropped[reason] ?? 0), 0));
    if (this.#sent.total > before) this.#sentAt = now;
    remember(this.#sentBy, now, this.#sent.total);
    // By this report the sender has told of all that the receiver missed in that one.
    const numbered = (sumBefore(this.#lostBy, now - outOfStepMs) ?? 0) - this.#after.total;
    if (this.#misaligned) {
      this.#misaligned = false;
      this.#ahead = this.#sent.total - this.#unique.total - Math.max(0, numbered) - this.#pending;
      this.#lost = 0;
    }
    this.#raise(numbered, now);
  }

  came(row: CameRow, now: number): void {
    const before = this.#unique.total;
    // Begun anew: what it took after its last report is in no report.
    if (!this.#unique.see(row.unique)) this.#ahead += 1.5 * this.#rose;
    this.#windowLost.see(row.lost);
    this.#pending = row.pending;
    remember(this.#lostBy, now, this.#windowLost.total);
    this.#rose = this.#unique.total - before;
    if (this.#rose > 0) {
      this.#cameAt = now;
      this.#settling = Math.min(this.#settling, now + settlingMs);
    }
    const sent = sumBefore(this.#sentBy, now - underwayMs);
    if (sent === undefined) return;
    const missing = sent - this.#unique.total - this.#ahead;
    // Packets come, and its window has seen no hole of that size: one end's counters are older than the other's.
    const older = this.#rose > 0 && now < this.#settling && missing > this.#windowLost.total + this.#pending;
    if (older) this.#misaligned = true;
    else this.#raise(Math.floor(missing), now);
  }

  /** Packets that the sender's device took. */
  get sentTotal(): number {
    return this.#sent.total;
  }
  get lost(): number {
    return this.#lost;
  }
  /** Something was lost within the last minute. */
  losing(now: number): boolean {
    return now - this.#lostAt < lossToldMs;
  }
  /** The sender sends, and nothing comes: it has been so for three seconds. */
  silent(now: number): boolean {
    const old = sumBefore(this.#sentBy, now - underwayMs) ?? 0;
    const sends = now - this.#sentAt < silentMs;
    return sends && now - this.#cameAt > silentMs && old > this.#unique.total + this.#ahead;
  }

  #raise(lost: number, now: number): void {
    if (lost <= this.#lost) return;
    this.#lost = lost;
    this.#lostAt = now;
  }
}

type Sums = { readonly at: number; readonly sum: number }[];

function remember(sums: Sums, at: number, sum: number): void {
  sums.push({ at, sum });
  while ((sums[1]?.at ?? Infinity) <= at - 2 * underwayMs) sums.shift();
}
const sumBefore = (sums: Sums, at: number): number | undefined => sums.findLast((one) => one.at <= at)?.sum;
