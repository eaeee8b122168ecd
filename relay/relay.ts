// The running relay: a table of contents of what it is made of. Parts close in the reverse order of their registration: first nobody asks any
// more, then the last report leaves, then the engines are let go. Traffic goes on.
//
//   engines    what carries packets; found again when an earlier process left them
//   near       interfaces, ways and next hops, followed as they change
//   programme  rules → engines
//   book       the rules, kept on disk
//   fleet      reports, questions and plans over NATS
//   api        what is asked by HTTP
//   control    what is asked over the control socket
//   beat       once a second: figures → report, metrics, log, conditions
import { chmodSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { serveRelay } from "#api/server.ts";
import { TaplineError } from "#domain/errors.ts";
import type { RelayConfig } from "#domain/relay-config.ts";
import { planNotice, type PlanNotice, type RelayPlan } from "#domain/relay-plan.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import type { AgentContext, RunningAgent } from "#process/agent.ts";
import { logChange } from "#process/conditions.ts";
import { frameworkLog } from "#process/framework-log.ts";
import { traced } from "#process/traces.ts";
import { version } from "#process/version.ts";
import { Beat } from "./beat.ts";
import { Carried } from "./carried.ts";
import { answerControl } from "./control-answers.ts";
import { startControl } from "./control-server.ts";
import type { Fleet, FleetOptions } from "./fleet.ts";
import { KeptFile } from "./kept-file.ts";
import { Near } from "./near.ts";
import { openEngines, runFolder } from "./open-engines.ts";
import { Programme } from "./programme.ts";
import { parseKeptRules, RuleBook, soundRules } from "./rule-book.ts";
import { RelayMetrics } from "./show-figures.ts";
import { Traces } from "./traces.ts";

const wallNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

export async function startRelay(first: RelayConfig, context: AgentContext): Promise<RunningAgent<RelayConfig>> {
  const { logs, health, registry, shutdown } = context;
  const log = logs.facility("relay");
  const startedNs = wallNs();
  const place = { fleet: first.nats?.fleet ?? "default", node: first.name ?? hostname() };
  const failures = new Map<string, TaplineError>();

  const engines = traced("open the engines", {}, () => openEngines(first, log));
  let leave = async (): Promise<void> => engines.close();
  shutdown.part({ name: "engines", close: () => leave(), deadlineMs: 5000 });
  const epochFile = new KeptFile(join(first.state.path, "epoch.json"), (value) => keptNumber.parse(value).epoch);
  const epoch = await keptEpoch(epochFile, engines.adopted);
  const near = await Near.open({
    engines,
    folder: runFolder(first),
    orphanAfterMs: first.engines.orphanAfter / 1e6,
    log,
  });
  shutdown.part({ name: "near", close: () => near.stop(), deadlineMs: 1000 });
  const carried = await Carried.open(first.state.path, log);
  shutdown.part({ name: "carried", close: () => carried.close(), deadlineMs: 1000 });
  const programme = new Programme(
    {
      engines,
      epoch,
      carried: carried.engines,
      applied: (stands) => {
        near.want(stands.values());
        carried.note(stands);
      },
    },
    near.now,
  );

  const planned = first.nats?.plan !== undefined;
  const file = keptRules(first, planned);
  const found = await file.load(Date.now());
  if (found.damage) {
    failures.set(found.damage.details["path"] as string, found.damage);
    log.error("could not read what was kept", { error: found.damage });
  }
  const book = new RuleBook({
    file,
    planned,
    apply: (rules) => programme.set(rules),
  });
  let running = { generation: found.value?.notice?.generation ?? 0, digest: found.value?.notice?.digest ?? null };
  if (found.value) {
    book.begin(found.value.rules, found.value.kept);
    await near.know(found.value.rules);
    programme.begin(found.value.rules);
    log.notice("took the rules that were kept", { rules: found.value.rules.length, generation: running.generation });
  } else if (!planned && !found.damage) programme.begin([]);
  // Else it is not known what is wanted: what runs in the kernel goes on until somebody says.

  leave = async () => {
    // The fleet has said that this node relays nothing: a relay that ends then ends for good.
    const over = planned && running.generation > 0 && book.rules.length === 0;
    if (!over) return await engines.close();
    await engines.uninstall();
    await near.uninstall();
    for (const kept of [file, carried, epochFile]) await kept.remove();
    log.notice("left nothing on this node", { generation: running.generation });
  };

  near.follow((next) => programme.changed(next));

  const source = {
    rules: () => beat.rows,
    rule: (id: string) => beat.detail(id),
    hops: () => beat.hops,
    report: () => beat.report,
    liveness: () => health.liveness(),
    readiness: () => health.readiness(),
  };
  const { enabled, ...listen } = first.api;
  const served =
    enabled || first.nats
      ? await serveRelay({
          logger: frameworkLog(logs.facility("api")),
          listen: enabled,
          host: listen.host,
          port: listen.port,
          ...(listen.tokenFile === undefined ? {} : { tokenFile: listen.tokenFile }),
        }, source)
      : undefined; // biome-ignore format: one choice
  const take = async (plan: RelayPlan, notice: PlanNotice): Promise<void> => {
    const rules = await soundRules("it", plan.rules).catch((cause: Error) => {
      throw new TaplineError("RELAY_PLAN_REFUSED", { generation: plan.generation, detail: cause.message }, { cause });
    });
    const changed = await book.plan(rules, { v: 1, notice, rules });
    running = { generation: notice.generation, digest: notice.digest };
    log.notice("took a plan", { generation: notice.generation, ...changed });
  };
  const fleet =
    first.nats && served
      ? await openFleet(first.nats, {
          place,
          version,
          nowNs: wallNs,
          answer: (path) => traced("answer the fleet", {}, () => served.ask(path)),
          tell: (change) => logChange(log, change),
          running: () => running,
          take,
        })
      : undefined;
  if (fleet) shutdown.part({ name: "fleet", deadlineMs: 3000, close: () => fleet.drain() });

  const beat = new Beat({
    place,
    run: fleet?.run ?? String(startedNs),
    startedNs,
    nowNs: wallNs,
    engines,
    programme,
    metrics: new RelayMetrics(registry, first.metrics.rules),
    fleet,
    logs,
    changes: () => book.changes,
    groups: () => near.notJoined,
    failures: () => [...failures].map(([subject, error]) => ({ subject, error })),
    alive: health.heartbeat("beat", 5000),
  });
  shutdown.part({ name: "beat", close: () => beat.stop(), deadlineMs: 2000 });
  beat.start();
  if (served) {
    shutdown.part({ name: "api", close: () => served.close(), deadlineMs: 3000 });
    if (enabled) logs.facility("api").notice("began to answer", { url: served.url });
  }

  let config = first;
  const traces = new Traces(engines);
  const answers = { book, programme, engines, beat, traces, logs, log, config: () => config };
  const control = await startControl({
    path: first.control.socket,
    group: first.control.group,
    log,
    answer: (question, asker, say, signal) => answerControl(answers, question, asker, say, signal),
  });
  shutdown.part({ name: "control", close: () => control.close(), deadlineMs: 1000 });
  health.ready("rules", () => standing(beat));
  log.notice("began to relay", { rules: book.rules.length, socket: first.control.socket });

  return {
    stages: () => ({ rules: book.rules.length }),
    change: async (next) => {
      logs.set(next.log);
      config = next;
    },
  };
}

/** A relay is of use while what it shall carry is carried. */
function standing({ report }: Beat): { readonly ok: boolean; readonly detail: string } {
  if (!report) return { ok: false, detail: "not looked yet" };
  const { rules, waiting } = report.totals;
  return { ok: waiting === 0, detail: `${rules - waiting} of ${rules} rules are programmed` };
}

interface KeptValue {
  readonly rules: readonly NamedRule[];
  readonly notice: PlanNotice | undefined;
  /** as it lies on disk */
  readonly kept: unknown;
}
const keptPlan = z.object({ notice: planNotice });

/** Rules given here and a fleet's plan are kept apart: who changes from one to the other gets neither's by surprise. */
const keptRules = ({ state }: RelayConfig, planned: boolean): KeptFile<KeptValue> =>
  new KeptFile(join(state.path, planned ? "plan.json" : "rules.json"), async (kept) => ({
    rules: await parseKeptRules(kept),
    notice: planned ? keptPlan.parse(kept).notice : undefined,
    kept,
  }));

const keptNumber = z.object({ epoch: z.int().min(1) });

/** Of this node's tunnels: as long as the kernel goes on with their numbering, the same. */
async function keptEpoch(file: KeptFile<number>, adopted: boolean): Promise<number> {
  const { value } = await file.load(Date.now());
  if (adopted && value !== undefined) return value;
  // Seconds since 1970 as 32 bits; and never the one before, should the clock have been set back.
  const now = Math.floor(Date.now() / 1000) % 2 ** 32;
  const epoch = Math.max(1, now === value ? now + 1 : now);
  await file.save({ epoch });
  chmodSync(dirname(file.path), 0o700);
  return epoch;
}

/** The client of NATS is loaded only where there is a fleet. */
const openFleet = async (config: NonNullable<RelayConfig["nats"]>, options: FleetOptions): Promise<Fleet> =>
  new (await import("./fleet.ts")).Fleet(config, options);
