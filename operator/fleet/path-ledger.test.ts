// Loss between two hops from what both ends report, a second apart and out of step: exact while it runs, when the hop falls silent, and over restarts.
import fc from "fast-check";
import { expect, test } from "vitest";
import { PathLedger } from "./path-ledger.ts";

/** A path on which packets flow, with the reports that its ends make of it. */
class Wire {
  readonly ledger = new PathLedger();
  now = 0;
  sent = 0;
  device = 0;
  unique = 0;
  windowLost = 0;
  /** lost since the last that came: the window does not know of them yet */
  tail = 0;

  /** A tenth of a second. `lose`: of the packets sent, how many vanish. */
  flow(packets: number, lose = 0, atDevice = 0): void {
    this.now += 100;
    this.sent += packets - atDevice;
    this.device += atDevice;
    const come = packets - atDevice - lose;
    if (come > 0) {
      this.windowLost += this.tail + lose + atDevice;
      this.tail = 0;
      this.unique += come;
    } else this.tail += lose + atDevice;
    if (this.now % 1000 === 300) this.ledger.sent({ sent: this.sent, dropped: this.device > 0 ? { device: this.device } : {} }, this.now); // biome-ignore format: one call
    if (this.now % 1000 === 800) this.ledger.came({ unique: this.unique, lost: this.windowLost, pending: 0 }, this.now);
  }
  seconds(count: number, packets = 0, lose = 0, atDevice = 0): void {
    for (let i = 0; i < count * 10; i++) this.flow(packets, lose, atDevice);
  }
}

test("one in a hundred lost: the right number while it runs and when it stops; all well says nothing", () => {
  const wire = new Wire();
  wire.seconds(20, 1000);
  expect([wire.ledger.lost, wire.ledger.losing(wire.now)]).toEqual([0, false]);
  wire.seconds(10, 1000, 10);
  expect(wire.ledger.lost).toBeGreaterThan(800);
  expect(wire.ledger.lost).toBeLessThanOrEqual(1000);
  wire.seconds(4);
  expect(wire.ledger.lost).toBe(1000);
  expect(wire.ledger.sentTotal).toBe(300_000);
  expect(wire.ledger.losing(wire.now + 61_000)).toBe(false);
});

test("a link that is cut is silent within 5 seconds, and the number is right at the end", () => {
  const wire = new Wire();
  wire.seconds(20, 1000);
  wire.seconds(5, 1000, 1000);
  expect(wire.ledger.silent(wire.now)).toBe(true);
  expect(wire.ledger.lost).toBeGreaterThan(10_000);
  wire.seconds(5, 1000, 1000);
  wire.seconds(5);
  expect(wire.ledger.lost).toBe(100_000);
  expect(wire.ledger.silent(wire.now)).toBe(false); // nobody sends
  wire.seconds(10, 1000);
  expect([wire.ledger.lost, wire.ledger.silent(wire.now)]).toEqual([100_000, false]);
});

test("what the sender itself dropped after numbering is not the network's", () => {
  const wire = new Wire();
  wire.seconds(10, 1000, 5, 7);
  wire.seconds(4);
  expect(wire.ledger.lost).toBe(500);
});

test("traffic that begins, pauses and begins again loses nothing", () => {
  const wire = new Wire();
  for (let i = 0; i < 5; i++) {
    wire.seconds(7, 5000);
    wire.seconds(9);
  }
  expect(wire.ledger.lost).toBe(0);
});

test("a new operator comes upon a path that has lost before: it tells the same number", () => {
  const wire = new Wire();
  wire.seconds(10, 1000, 10);
  const later = Object.assign(new Wire(), { sent: wire.sent, unique: wire.unique, windowLost: wire.windowLost });
  later.seconds(10, 1000);
  expect(later.ledger.lost).toBe(1000);
});

test.each<[string, Partial<Wire>]>([
  ["the receiver's are younger", { unique: 0, windowLost: 0, sent: 900_000 }],
  ["the sender's are younger", { unique: 900_000, windowLost: 300, sent: 0 }],
])("counters of which %s are no loss", (_, start) => {
  const wire = Object.assign(new Wire(), start);
  wire.seconds(20, 1000);
  wire.seconds(4);
  expect(wire.ledger.lost).toBe(start.windowLost ?? 0);
});

test("a receiver that starts again has lost what was sent meanwhile, told to two seconds and never more", () => {
  const wire = new Wire();
  wire.seconds(20, 1000);
  wire.unique = wire.windowLost = 0;
  wire.seconds(20, 1000);
  wire.seconds(4);
  expect(wire.ledger.lost).toBe(0);
  for (let i = 0; i < 300; i++) {
    wire.now += 100;
    wire.sent += 1000;
    if (wire.now % 1000 === 300) wire.ledger.sent({ sent: wire.sent, dropped: {} }, wire.now);
  }
  wire.unique = 0;
  wire.seconds(20, 1000);
  wire.seconds(4);
  expect(wire.ledger.lost).toBeGreaterThan(280_000);
  expect(wire.ledger.lost).toBeLessThanOrEqual(300_000);
});

test("it never tells more than was lost, and at rest exactly that, whatever the traffic does", () => {
  const spell = fc.record({
    seconds: fc.integer({ min: 1, max: 8 }),
    packets: fc.integer({ min: 0, max: 500 }),
    lose: fc.constantFrom(0, 0, 0.01, 0.5, 1),
  });
  fc.assert(
    fc.property(fc.array(spell, { maxLength: 12 }), (spells) => {
      const wire = new Wire();
      let truth = 0;
      for (const { seconds, packets, lose } of spells) {
        const each = Math.floor(packets * lose);
        for (let i = 0; i < seconds * 10; i++) {
          wire.flow(packets, each);
          truth += each;
          expect(wire.ledger.lost).toBeLessThanOrEqual(truth);
        }
      }
      wire.seconds(5);
      expect(wire.ledger.lost).toBe(truth);
    }),
    { numRuns: 200 },
  );
});
