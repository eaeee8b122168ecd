// tapline bench micro: what the engine's single steps cost.
import { engine } from "#native/engine.ts";
import { duration } from "./numbers.ts";
import { table } from "./table.ts";

export async function benchMicro({
  rounds,
  json,
}: {
  readonly rounds: number;
  readonly json?: boolean;
}): Promise<number> {
  const results = engine().micro(rounds);
  process.stdout.write(
    json === true
      ? `${JSON.stringify(
          results.map((r) => ({
            name: r.name,
            ns_per_op: r.nsPerOp,
            least_ns: r.spreadNs[0],
            most_ns: r.spreadNs[1],
            rounds: r.rounds,
          })),
          undefined,
          2,
        )}\n`
      : `${table(
          [
            { title: "step", align: "left" },
            ...["median", "least", "most"].map((title) => ({ title, align: "right" }) as const),
          ],
          results.map((r) => [r.name, duration(r.nsPerOp), duration(r.spreadNs[0]), duration(r.spreadNs[1])]),
        )}\n\nOne thread, median of ${rounds} rounds each. The seeds measured 11 ns for a header parse (target 100), 15 ns for a relay's rule look-up (100) and 113 ns for its buffer (200).\n`,
  );
  return 0;
}
