// A whole fleet but for its nodes: a kube-apiserver with etcd, a nats-server, the operator as its users run it, and a process that speaks for all agents. Enters: how large.
// Leaves: all of it running, and gone at the end.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { Started } from "#cli/started.ts";
import {
  daemonSets,
  fleetNodes,
  pools,
  type PoolKind,
  type RuleKind,
  rules,
  type FleetNodeKind,
} from "#operator/kinds.ts";
import type { KubeClient } from "#operator/runtime/client.ts";
import type { KubeObject } from "#operator/runtime/objects.ts";
import { NatsServer } from "../../bus/nats-server.ts";
import { direct, makeClient } from "../parts.ts";
import { Rest } from "../rest.ts";
import { startWithCrds } from "../with-crds.ts";
import type { ApiserverAlone } from "../apiserver-alone.ts";
import { ApiWatch } from "./api-watch.ts";
import { auditFlags, type Write, writesOf } from "./api-writes.ts";
import { fleet, type FleetShape, namespace, node, nodeName, relayRule, sensorPool } from "./made-fleet.ts";
import { Agents } from "./orders.ts";
import { numbers, relayNodes } from "./traffic.ts"; // biome-ignore format: imports

/** Requests at once, when the fleet is made. */
const atOnce = 8;
/** A kubelet writes its Node's status every five minutes. */
const heartbeatSeconds = 300;
const ready = (object: KubeObject & { readonly status?: { readonly conditions?: readonly { type: string; status: string }[] | undefined } }): boolean =>
  object.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false; // biome-ignore format: the signature

interface Watches {
  readonly pools: ApiWatch<PoolKind>;
  readonly rules: ApiWatch<RuleKind>;
  readonly fleetNodes: ApiWatch<FleetNodeKind>;
  readonly daemonSets: ApiWatch<KubeObject>;
}

export class FleetRun implements AsyncDisposable {
  readonly shape: FleetShape;
  readonly #folder = mkdtempSync(join(tmpdir(), "tapline-fleet-"));
  readonly #ending = new AbortController();
  #alone: ApiserverAlone | undefined;
  #nats: NatsServer | undefined;
  #client: KubeClient | undefined;
  #rest: Rest | undefined;
  #agents: Agents | undefined;
  #operator: Started | undefined;
  #watches: Watches | undefined;
  #beating: Promise<void> = Promise.resolve();
  /** ms since 1970 */
  operatorStarted = 0;

  private constructor(shape: FleetShape) {
    this.shape = shape;
  }

  /** All but the operator. */
  static async start(shape: FleetShape): Promise<FleetRun> {
    const run = new FleetRun(shape);
    try {
      await run.#begin();
      return run;
    } catch (error) {
      await run[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    this.#alone = await startWithCrds({ flags: auditFlags(this.#auditLog) });
    this.#nats = await NatsServer.start();
    this.#rest = new Rest(this.#alone);
    this.#client = makeClient(direct(this.#alone.kubeconfig), { fieldManager: "bench" });
    await this.make("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const { nodes, pools: manyPools, rules: manyRules } = this.shape;
    await inTurns(numbers(nodes), (number) => this.make("/api/v1/nodes", node(number, this.shape)));
    const own = "/apis/tapline.dev/v1alpha1";
    for (const pool of numbers(manyPools)) await this.make(`${own}/sensorpools`, sensorPool(pool));
    for (const rule of numbers(manyRules)) await this.make(`${own}/relayrules`, relayRule(rule, this.shape));
    const watch = <T extends KubeObject>(resource: Parameters<typeof ApiWatch.start<T>>[1]) => ApiWatch.start<T>(this.#client as KubeClient, resource, this.#ending.signal); // biome-ignore format: one row
    this.#watches = { pools: await watch(pools), rules: await watch(rules), fleetNodes: await watch(fleetNodes), daemonSets: await watch<KubeObject>(daemonSets) }; // biome-ignore format: one row
    this.#agents = new Agents(this.#nats.url, this.shape);
    await until("the agents are connected", async () => (await this.agents.say()).connected);
  }

  get agents(): Agents {
    return this.#agents as Agents;
  }
  get watches(): Watches {
    return this.#watches as Watches;
  }
  get operatorPid(): number {
    return (this.#operator as Started).pid;
  }
  get #auditLog(): string {
    return join(this.#folder, "audit.log");
  }

  async make(path: string, object: unknown): Promise<void> {
    const { status, body } = await (this.#rest as Rest).ask<{ message: string }>("POST", path, object);
    if (status >= 300) throw new Error(`${path}: ${body.message}`);
  }
  async patch(path: string, patch: unknown): Promise<void> {
    const { status, body } = await (this.#rest as Rest).ask<{ message: string }>("PATCH", path, patch, "application/merge-patch+json"); // biome-ignore format: one row
    if (status >= 300) throw new Error(`${path}: ${body.message}`);
  }

  async startOperator(): Promise<void> {
    const [alone, nats] = [this.#alone as ApiserverAlone, this.#nats as NatsServer];
    const file = join(this.#folder, "operator.yaml");
    const agents = { image: "registry.example.net/tapline:1.0.0", nats: { sensorSecret: "tapline-nats-sensor", relaySecret: "tapline-nats-relay" } }; // biome-ignore format: one row
    writeFileSync(file, stringify({ name: "bench", fleet, namespace, nats: { url: nats.url }, agents, metrics: { port: 0 }, log: { format: "json" } })); // biome-ignore format: one row
    this.operatorStarted = Date.now();
    const command = resolve(import.meta.dirname, "../../../bin/tapline");
    // Ends with this process, however that ends.
    this.#operator = new Started(["setpriv", "--pdeathsig", "KILL", command, "operator", "--config", file, "--kubeconfig", alone.kubeconfig]); // biome-ignore format: one call
    const key = `/api/v1/namespaces/${namespace}/configmaps/tapline-plan-key`;
    await until("the operator has made its key", async () => {
      if (this.#operator?.over === true) throw this.#operator.failure("it ended");
      const { status, body } = await (this.#rest as Rest).ask<{ data: Record<string, string> }>("GET", key);
      if (status === 200) await this.agents.follow(body.data["operator.pem"] ?? "");
      return status === 200;
    });
    this.#beating = this.#beat();
    this.#beating.catch(() => undefined); // pods that nobody makes ready are missed by allReady()
  }

  /** What a DaemonSet's controller and the kubelets would do: all its pods are ready, and every Node's status is written now and then. */
  async #beat(): Promise<void> {
    const { signal } = this.#ending;
    const { nodes } = this.shape;
    const told = new Map<string, number>();
    const begun = performance.now();
    let beaten = 0;
    while (!signal.aborted) {
      for (const { metadata } of this.watches.daemonSets.values())
        if (told.get(metadata.name) !== metadata.generation) {
          told.set(metadata.name, metadata.generation ?? 0);
          const status = { currentNumberScheduled: nodes, desiredNumberScheduled: nodes, numberMisscheduled: 0, numberReady: nodes, numberAvailable: nodes, observedGeneration: metadata.generation }; // biome-ignore format: one row
          await this.patch(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${metadata.name}/status`, { status });
        }
      const lastHeartbeatTime = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      const conditions = [{ type: "Ready", status: "True", lastHeartbeatTime, lastTransitionTime: lastHeartbeatTime, reason: "KubeletReady", message: "kubelet is posting ready status" }]; // biome-ignore format: one row
      const due = ((performance.now() - begun) * nodes) / (heartbeatSeconds * 1000);
      for (; beaten < due && !signal.aborted; beaten++)
        await this.patch(`/api/v1/nodes/${nodeName(beaten % nodes)}/status`, { status: { conditions } });
      await sleep(100, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
    }
  }

  /** False when it took longer. */
  async allReady(ms: number): Promise<boolean> {
    const late = performance.now() + ms;
    for (const watch of [this.watches.pools, this.watches.rules])
      if (!(await (watch as ApiWatch<KubeObject>).until(() => watch.values().every(ready), late - performance.now()))) return false; // biome-ignore format: one row
    return true;
  }

  /** What is not ready, and why: for people. */
  unready(): string[] {
    return [...this.watches.pools.values(), ...this.watches.rules.values()].filter((one) => !ready(one)).map(({ metadata, status }) => `${metadata.name}: ${status?.conditions?.find(({ type }) => type === "Ready")?.message ?? "no status"}`); // biome-ignore format: one row
  }

  /** Until every node has its FleetNode, and those with a rule their relay's label. False when it took longer. */
  async begun(ms: number): Promise<boolean> {
    const late = performance.now() + ms;
    const { fleetNodes: objects } = this.watches;
    const relays = relayNodes(this.shape).length;
    const labelled = (): boolean => this.writes().filter(({ what }) => what === "patch nodes").length >= relays;
    if (!(await objects.until(() => objects.size === this.shape.nodes, ms))) return false;
    while (!labelled()) {
      if (performance.now() > late) return false;
      await sleep(2000);
    }
    return true;
  }

  writes(): Write[] {
    return writesOf(this.#auditLog, "tapline-operator");
  }

  /** Lines of its log that are warnings or worse. */
  complaints(): string[] {
    const lines = (this.#operator?.stderr ?? "").split("\n").filter((line) => line.startsWith("{"));
    return lines.filter((line) => /"severity":"(warning|error|critical|alert|emergency)"/.test(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#beating.catch(() => undefined); // it was told when it failed, or what it asks is away
    if (this.#operator?.over === false) await this.#operator.stop();
    this.#operator?.[Symbol.dispose]();
    this.#agents?.[Symbol.dispose]();
    this.#client?.close();
    this.#rest?.close();
    await this.#nats?.[Symbol.asyncDispose]();
    await this.#alone?.[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function inTurns<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    numbers(atOnce).map(async () => {
      for (const one of left) await work(one);
    }),
  );
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const late = performance.now() + 120_000;
  while (!(await holds())) {
    if (performance.now() > late) throw new Error(`not within two minutes: ${what}`);
    await sleep(100);
  }
}
