// One cluster's names: everything that it makes on this machine is found by them, also after a crash.
// Inside its namespaces all clusters have the same addresses; they cannot meet.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ClusterProblem } from "./problems.ts";

export const checkout = resolve(import.meta.dirname, "../../..");

/** What is built is kept for all checkouts of a user, under the hash of what it was built from. */
export const cacheFolder = (): string =>
  join(process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? homedir(), ".cache"), "tapline", "cluster");

export interface Instance {
  readonly name: string;
  /** All its files are in here. `down` leaves only log/. */
  readonly folder: string;
  /** All its processes are below this cgroup, in every hierarchy. */
  readonly cgroup: string;
}

/** What is known of a cluster that is up, or was on its way. */
export interface State {
  readonly phase: "starting" | "up";
  readonly kubernetes: string;
  readonly nodes: number;
  /** on 127.0.0.1: the apiserver */
  readonly port: number;
  /** The process of each machine that keeps its namespaces: its pid, by the machine's name. */
  readonly machines: Readonly<Record<string, number>>;
}

export function instance(name: string): Instance {
  if (!/^[a-z][a-z0-9-]{0,19}$/.test(name))
    throw new ClusterProblem("USAGE", { detail: `--name is 1 to 20 of a-z, 0-9 and -, not ${name}` });
  const folder = join(checkout, "build", "cluster", name);
  const checkoutHash = createHash("sha256").update(folder).digest("hex").slice(0, 8);
  return { name, folder, cgroup: `tapline-${name}-${checkoutHash}` };
}

export const machineNames = (nodes: number): string[] => ["control", ...nodeNames(nodes)];
export const nodeNames = (nodes: number): string[] => Array.from({ length: nodes }, (_, index) => `node${index + 1}`);

export const kubeconfigPath = ({ folder }: Instance): string => join(folder, "kubeconfig");
export const logFolder = ({ folder }: Instance): string => join(folder, "log");
export const binFolder = ({ folder }: Instance): string => join(folder, "bin");

const statePath = ({ folder }: Instance): string => join(folder, "cluster.json");

export function readState(cluster: Instance): State | undefined {
  const path = statePath(cluster);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as State) : undefined;
}

export function writeState(cluster: Instance, state: State): void {
  mkdirSync(cluster.folder, { recursive: true });
  const aside = `${statePath(cluster)}.new`;
  writeFileSync(aside, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(aside, statePath(cluster));
}
