// The memory of the whole process with a million flows alive, and what it costs when nothing arrives.
import { setTimeout as sleep } from "node:timers/promises";
import { ringMiB } from "./capture-peers.ts";
import { Capturing } from "./capture-run.ts";
import { resultOf, type Subject } from "./capture-subject.ts";
import { grouped, mebibytes, percent } from "./numbers.ts";
import { memoryOf, processorNs, proportionalMemory } from "./process-cost.ts";
import { progress } from "./progress.ts";
import { table, type Column } from "./table.ts";
import { atMost, exactly, type Target } from "./target.ts";
import { Wire } from "./wire.ts";

const MiB = 2 ** 20;
const flows = 1_000_000;
const sampleMs = 200;
/** Until an agent is idle: some ten seconds after its start V8 collects once more what starting left, for a fifth of a second. */
const startedMs = 30_000;
const idleMs = 60_000;

const loads = {
  "in order": { packets: 6 * flows, limit: 300 * MiB },
  "a loss on every flow": { packets: 8 * flows, loseEvery: 5, limit: 400 * MiB },
} as const;
type Load = keyof typeof loads;

interface Held {
  /** resident when all flows were there, before any had to be stored; and with shared pages divided */
  readonly alive: number;
  readonly proportional: number;
  /** resident at most (VmHWM), the end with all its records included */
  readonly peak: number;
  /** of it, at most */
  readonly anonymous: number;
  readonly flows: number;
  readonly ringDrops: number;
  readonly lost: number;
  readonly skipped: number;
}

export interface Memories {
  readonly loads: Readonly<Record<Load, Held>>;
  readonly idle: {
    readonly share: number;
    readonly rss: number;
    readonly anonymous: number;
    readonly proportional: number;
  };
}

async function held(subject: Subject, load: Load, folder: string, signal: AbortSignal): Promise<Held> {
  const { limit: _, ...traffic } = loads[load];
  using wire = new Wire();
  await using capturing = await Capturing.start(subject, wire, folder, signal);
  const { pid } = capturing;
  let [peak, anonymous] = [0, 0];
  const sample = (): void => {
    const now = memoryOf(pid);
    peak = Math.max(peak, now.peak);
    anonymous = Math.max(anonymous, now.anonymous);
  };
  const timer = setInterval(sample, sampleMs);
  try {
    const sent = await wire.send({ kind: "macsec", flows, ...traffic }, signal);
    await capturing.quiet(signal);
    const alive = memoryOf(pid).rss;
    const proportional = proportionalMemory(pid); // only now: it holds the process up while it walks its pages
    await capturing.stop(sent.sent); // a million flows become records now: sampled, too
    const result = resultOf(capturing.folder);
    return {
      peak,
      alive,
      proportional,
      anonymous,
      flows: result.flows,
      ringDrops: result.ringDrops,
      lost: result.lost,
      skipped: sent.skipped,
    };
  } finally {
    clearInterval(timer);
  }
}

async function idle(subject: Subject, folder: string, signal: AbortSignal): Promise<Memories["idle"]> {
  using wire = new Wire();
  await using capturing = await Capturing.start(subject, wire, folder, signal);
  const { pid } = capturing;
  await sleep(startedMs, undefined, { signal });
  const [from, ns] = [performance.now(), processorNs(pid)];
  await sleep(idleMs, undefined, { signal });
  const share = (processorNs(pid) - ns) / ((performance.now() - from) * 1e6);
  const { rss, anonymous } = memoryOf(pid);
  const found = { share, rss, anonymous, proportional: proportionalMemory(pid) };
  await capturing.stop(0);
  return found;
}

export async function memories(subject: Subject, folder: string, signal: AbortSignal): Promise<Memories> {
  let done = 0;
  using _bar = progress("memory", () => ({ share: done / 3, notes: [] }));
  const step = async <T>(work: Promise<T>): Promise<T> => {
    const value = await work;
    done += 1;
    return value;
  };
  const inOrder = await step(held(subject, "in order", folder, signal));
  const losing = await step(held(subject, "a loss on every flow", folder, signal));
  return {
    loads: { "in order": inOrder, "a loss on every flow": losing },
    idle: await step(idle(subject, folder, signal)),
  };
}

export const memoryTargets = (found: Memories): Target[] => [
  ...(Object.keys(loads) as Load[]).flatMap((load) => {
    const one = found.loads[load];
    return [
      exactly(`1 M flows ${load}: flows found`, one.flows, flows, grouped),
      exactly(`1 M flows ${load}: numbers lost`, one.lost, one.skipped, grouped),
      exactly(`1 M flows ${load}: ring drops`, one.ringDrops, 0, grouped),
      atMost(`1 M flows ${load}: resident at most`, one.peak, loads[load].limit, mebibytes),
    ];
  }),
  atMost("idle: share of a core", found.idle.share, 0.01, (share) => percent(share, 1)),
  atMost("idle: resident", found.idle.rss, 120 * MiB, mebibytes),
];

const right = (title: string): Column => ({ title, align: "right" });

export const memoryText = (subject: Subject, found: Memories): string =>
  [
    `Memory of the whole process (${subject.settings}): 1 M MACsec flows alive at once, and at most until all of them are stored. Resident memory: the ring of ${ringMiB} MiB and Node's program text are in it, in "anonymous" they are not.`,
    table(
      [{ title: "", align: "left" }, ...["alive", "at most", "anonymous", "its own share", "flows", "lost", "ring drops"].map(right)],
      [
        ...(Object.keys(loads) as Load[]).map((load) => {
          const one = found.loads[load];
          return [load, ...[one.alive, one.peak, one.anonymous, one.proportional].map(mebibytes), ...[one.flows, one.lost, one.ringDrops].map(grouped)];
        }),
        [`idle, ${(startedMs + idleMs) / 1000} s after its start`, mebibytes(found.idle.rss), "", mebibytes(found.idle.anonymous), mebibytes(found.idle.proportional), "", "", ""],
      ],
    ),
    `Idle, it uses ${percent(found.idle.share, 1)} of a core: in ${idleMs / 1000} s from ${startedMs / 1000} s after its start on. Its own share (PSS) divides pages that others map, too; with the flows alive.`,
    "",
  ].join("\n"); // biome-ignore format: one table
