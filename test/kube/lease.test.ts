// Who leads: processes of their own on a real apiserver; killed, stopped, ended in order, cut off. What each says of itself is laid side by side.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Lease, LeaderElection, leases } from "#operator/runtime/lease.ts";
import { eventually } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { FaultyWay } from "./faulty-way.ts";
import { configMap, configMaps, direct, makeClient, makeFigures, recordedLog, through } from "./parts.ts";

let alone: ApiserverAlone;
beforeAll(async () => {
  alone = await ApiserverAlone.start();
}, firstStartMs);
afterAll(() => alone[Symbol.asyncDispose]());

class Holder {
  readonly identity: string;
  readonly child: ChildProcess;
  /** what it said, and when: ms of a clock that both share */
  readonly said: { what: string; at: number }[] = [];

  constructor(identity: string, durations: string) {
    this.identity = identity;
    const program = join(import.meta.dirname, "lease-holder.ts");
    this.child = spawn(process.execPath, [program, alone.kubeconfig, identity, durations], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let begun = "";
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (begun + text).split("\n");
      begun = lines.pop() ?? "";
      for (const line of lines) {
        const [what = "", at] = line.split(" ");
        this.said.push({ what, at: Number(at) });
      }
    });
  }
  get leading(): number[] {
    return this.said.filter(({ what }) => what === "leads").map(({ at }) => at);
  }
  async leads(seconds = 30): Promise<void> {
    await eventually(`${this.identity} leads`, seconds, () => Promise.resolve(this.leading.length > 0));
  }
  async ended(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }
}

let holders: Holder[];
const stand = (identity: string, durations = "3000,2000,300"): Holder => {
  const holder = new Holder(identity, durations);
  holders.push(holder);
  return holder;
};
beforeEach(() => {
  holders = [];
});
afterEach(async () => {
  for (const { child } of holders) child.kill("SIGKILL");
  await Promise.all(holders.map((holder) => holder.ended()));
  await makeClient(direct(alone.kubeconfig)).delete(leases, { namespace: "default", name: "leader" });
});

/** Of all moments at which somebody said that he leads: those between another's first and last of the same reign. */
function expectNeverBoth(): void {
  const moments = holders
    .flatMap(({ identity, leading }) => leading.map((at) => ({ identity, at })))
    .sort((one, other) => one.at - other.at);
  const reigns = moments.filter(({ identity }, index) => moments[index - 1]?.identity !== identity);
  expect(new Set(reigns.map(({ identity }) => identity)).size).toBe(reigns.length);
}
const now = (): number => Number(process.hrtime.bigint() / 1_000_000n);

describe("the lease", () => {
  it("with its real durations: two stand, one leads, it is killed, the other leads within 20 s, never both", async () => {
    const [one, two] = [stand("one", ""), stand("two", "")];
    await eventually("one of them leads", 30, () => Promise.resolve(one.leading.length + two.leading.length > 0));
    await sleep(5000);
    const [leader, other] = one.leading.length > 0 ? [one, two] : [two, one];
    expect(other.leading).toEqual([]);
    leader.child.kill("SIGKILL");
    const killed = now();
    await leader.ended();
    expect(killed - (leader.leading.at(-1) ?? 0)).toBeLessThan(300); // it led to its end
    await other.leads(30);
    const took = ((other.leading[0] ?? 0) - killed) / 1000;
    process.stderr.write(`lease: taken over ${took} s after kill -9\n`);
    expect(took).toBeGreaterThan(10); // not before it had run out
    expect(took).toBeLessThan(20);
    await sleep(1000);
    expectNeverBoth();
  });

  it("is given back by one that ends in order: the other leads at once", async () => {
    const one = stand("one", "15000,10000,500");
    await one.leads();
    const two = stand("two", "15000,10000,500");
    await eventually("it waits", 10, () => Promise.resolve(two.said.length > 0));
    await sleep(1500);
    expect(two.leading).toEqual([]);
    one.child.kill("SIGTERM");
    const told = now();
    await two.leads();
    expect((two.leading[0] ?? 0) - told).toBeLessThan(1500);
    await one.ended();
    expect(one.said.at(-1)?.what).toBe("ended");
    expectNeverBoth();
    const { spec } = await makeClient(direct(alone.kubeconfig)).get(leases, { namespace: "default", name: "leader" });
    expect(spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 1, leaseDurationSeconds: 15 });
    expect(spec?.renewTime).toMatch(/\.\d{6}Z$/);
  });

  it("is lost by one that stood still: it leads no more when it wakes up, and ends", async () => {
    const one = stand("one");
    await one.leads();
    const two = stand("two");
    await eventually("it waits", 10, () => Promise.resolve(two.said.length > 0));
    await sleep(1000);
    one.child.kill("SIGSTOP");
    await two.leads();
    one.child.kill("SIGCONT");
    await one.ended();
    expect(one.said.at(-1)?.what).toBe("lost:LEASE_LOST");
    expect(one.child.exitCode).toBe(1);
    expectNeverBoth();
  });

  it("of five that stand at once one has, over several deaths", async () => {
    const all = ["a", "b", "c", "d", "e"].map((identity) => stand(identity));
    for (let turn = 0; turn < 3; turn++) {
      const alive = (): Holder[] => all.filter(({ child }) => child.signalCode === null && !child.killed);
      const leader = await eventually("one leads", 30, () =>
        Promise.resolve(alive().find(({ leading }) => leading.length > 0)),
      );
      await sleep(700);
      leader.child.kill("SIGKILL");
    }
    expectNeverBoth();
    expect(all.filter(({ leading }) => leading.length > 0)).toHaveLength(3);
  });

  it("is lost when the API does not answer, before anybody else may take it; nothing is written after that", async () => {
    await using way = await FaultyWay.to(alone);
    const figures = makeFigures();
    const election = new LeaderElection({
      client: makeClient(through(way.url)),
      namespace: "default",
      name: "leader",
      identity: "cut off",
      log: recordedLog().log,
      metrics: figures.metrics,
      durations: { leaseMs: 3000, renewMs: 1500, retryMs: 200 },
    });
    const writer = makeClient(direct(alone.kubeconfig), { fence: election.fence });
    const write = () => writer.apply(configMaps, configMap("fenced", { at: String(now()) }), { force: true });
    await expect(write()).rejects.toMatchObject({ code: "LEASE_LOST" }); // not yet
    let told: AbortSignal | undefined;
    const run = election.run(new AbortController().signal, async (signal) => {
      told = signal;
      await new Promise(() => undefined); // it hangs: nobody waits for it
    });
    const lost = expect(run).rejects.toMatchObject({ code: "LEASE_LOST" });
    await eventually("it leads", 10, () => Promise.resolve(told !== undefined));
    await write();
    expect(await figures.of("tapline_operator_leader")).toBe(1);
    await sleep(1000);
    way.ignore = () => true;
    const cut = performance.now();
    await lost;
    expect(performance.now() - cut).toBeLessThan(2000);
    expect(told?.aborted).toBe(true);
    expect(await figures.of("tapline_operator_leader")).toBe(0);
    await expect(write()).rejects.toMatchObject({ code: "LEASE_LOST" });
  });

  it("survives resets and 500s that are shorter than its patience", async () => {
    await using way = await FaultyWay.to(alone);
    const { log } = recordedLog();
    const election = new LeaderElection({
      client: makeClient(through(way.url)),
      namespace: "default",
      name: "leader",
      identity: "steadfast",
      log,
      metrics: makeFigures().metrics,
      durations: { leaseMs: 3000, renewMs: 2000, retryMs: 200 },
    });
    const ending = new AbortController();
    let begun = false;
    const run = election.run(ending.signal, async (signal) => {
      begun = true;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    });
    await eventually("it leads", 10, () => Promise.resolve(begun));
    for (let turn = 0; turn < 4; turn++) {
      way.refuse = () => true;
      await sleep(800);
      way.refuse = () => false;
      await sleep(700);
      expect(election.holds()).toBe(true);
    }
    ending.abort();
    await run;
  });

  it("is not taken back from one who took it: another wrote the lease", async () => {
    const kube = makeClient(direct(alone.kubeconfig));
    const one = stand("one");
    await one.leads();
    const name = { namespace: "default", name: "leader" };
    await eventually("it is written between two renewals", 10, async () => {
      const lease = await kube.get<Lease>(leases, name);
      return kube.update(leases, { ...lease, spec: { ...lease.spec, holderIdentity: "a person" } }).then(
        () => true,
        () => false,
      );
    });
    await one.ended();
    expect(one.said.at(-1)?.what).toBe("lost:LEASE_LOST");
    expect((await kube.get(leases, name)).spec?.holderIdentity).toBe("a person");
  });
});
