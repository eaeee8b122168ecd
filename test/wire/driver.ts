// A capture in a process of its own, inside a namespace, that does what it is told while it runs.
// Enters: a line of JSON per command. Leaves: a line of JSON per answer, in the same order; times as text, for they are longer than a number.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { blindRecord, cellCount, cellOffsets, flowRecord, gapRecord } from "#domain/records.ts";
import { blindReasons } from "#domain/vocabulary.ts";
import type { ResultBatch } from "#domain/analysis.ts";
import {
  engine,
  type Capture,
  type CaptureOptions,
  type LimitsChange,
  type Link,
  type PortOptions,
} from "#native/engine.ts";

export type Command =
  | { readonly do: "capture"; readonly options: CaptureOptions }
  | { readonly do: "add"; readonly port: PortOptions }
  | { readonly do: "remove"; readonly name: string }
  | { readonly do: "setFilter"; readonly text: string }
  | { readonly do: "setLimits"; readonly change: LimitsChange }
  | { readonly do: "figures" | "links" | "stop" };

const flowAt = cellOffsets(flowRecord);
const gapAt = cellOffsets(gapRecord);
const blindAt = cellOffsets(blindRecord);
const results = { flows: [] as object[], gaps: [] as object[], blinds: [] as object[] };

function keep({ kind, records }: ResultBatch): void {
  const numbers = new Float64Array(records);
  const times = new BigInt64Array(records);
  const bytes = new Uint8Array(records);
  const each = (cells: number, one: (r: number) => void): void => {
    for (let r = 0; r < numbers.length; r += cells) one(r);
  };
  if (kind === "flows")
    each(cellCount(flowRecord), (r) =>
      results.flows.push({
        packet: numbers[r + flowAt.packet],
        packets: numbers[r + flowAt.packets],
        lost: numbers[r + flowAt.lost],
        end: bytes[(r + flowAt.meta) * 8 + 1],
        first_ns: times[r + flowAt.first_time],
        last_ns: times[r + flowAt.last_time],
      }),
    );
  if (kind === "gaps")
    each(cellCount(gapRecord), (r) =>
      results.gaps.push({
        first: numbers[r + gapAt.first],
        last: numbers[r + gapAt.last],
        suspect: bytes[(r + gapAt.flags) * 8 + 1],
      }),
    );
  if (kind === "blinds")
    each(cellCount(blindRecord), (r) =>
      results.blinds.push({
        port: numbers[r + blindAt.port],
        reason: Object.keys(blindReasons)[bytes[(r + blindAt.meta) * 8] ?? 0],
        since_ns: times[r + blindAt.since],
        until_ns: times[r + blindAt.until],
      }),
    );
}

let capture: Capture | undefined;
let links: readonly Link[] = [];
let told = 0;
const watch = engine().watchLinks((all) => {
  links = all;
  told += 1;
});

async function takeUntilDone(job: Capture): Promise<unknown> {
  const over = new AbortController();
  const done = job.done.finally(() => over.abort());
  done.catch(() => undefined);
  for (;;) {
    const last = over.signal.aborted;
    const batch = job.take();
    if (batch !== null) keep(batch);
    else if (last) return done;
    else await sleep(5);
  }
}
let ended: Promise<unknown> = Promise.resolve();

function running(): Capture {
  if (capture === undefined) throw new Error("nothing is captured");
  return capture;
}

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case "capture":
      capture = engine().capture(command.options);
      ended = takeUntilDone(capture);
      ended.catch(() => undefined);
      await Promise.race([ended, sleep(50)]);
      return null;
    case "add":
      return running().add(command.port);
    case "remove":
      return running().remove(command.name);
    case "setFilter":
      return running().setFilter(command.text);
    case "setLimits":
      return running().setLimits(command.change);
    case "figures":
      return running().figures();
    case "links":
      return { links, told };
    case "stop":
      running().stop();
      watch.stop();
      return { figures: await ended, ...results };
  }
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? one.toString() : one));

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  try {
    process.stdout.write(`${text({ value: (await obey(command)) ?? null })}\n`);
  } catch (error) {
    const { code, detail } = error as { code?: string; detail?: string };
    process.stdout.write(`${text({ error: { code, detail, text: String(error) } })}\n`);
  }
  if (command.do === "stop") break;
}
capture?.stop();
await ended.catch(() => undefined); // told to whoever asked for it
watch.stop();
process.stdin.destroy();
