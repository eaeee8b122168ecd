// Asks the cluster's apiserver from outside, as the administrator: for waiting and for `status`, without a kubectl each time.
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { type Instance, kubeconfigPath, logFolder } from "./instance.ts";
import type { Daemon } from "./machine.ts";
import { ClusterProblem } from "./problems.ts";

interface Kubeconfig {
  clusters: { cluster: { server: string; "certificate-authority-data": string } }[];
  users: { user: { "client-certificate-data": string; "client-key-data": string } }[];
}

/** The answer's body, or undefined when there was none or none that is good. */
export function ask(cluster: Instance, path: string, milliseconds = 3000): Promise<string | undefined> {
  const config = JSON.parse(readFileSync(kubeconfigPath(cluster), "utf8")) as Kubeconfig;
  const decoded = (text = ""): Buffer => Buffer.from(text, "base64");
  const [server, user] = [config.clusters[0]?.cluster, config.users[0]?.user];
  return new Promise((resolve) => {
    const asked = request(`${server?.server}${path}`, {
      ca: decoded(server?.["certificate-authority-data"]),
      cert: decoded(user?.["client-certificate-data"]),
      key: decoded(user?.["client-key-data"]),
      timeout: milliseconds,
      agent: false,
    });
    // No answer is an answer here: it is not there yet, or no more.
    asked.once("error", () => resolve(undefined)).once("timeout", () => asked.destroy(new Error("no answer")));
    asked.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.once("end", () => resolve(response.statusCode === 200 ? text : undefined));
      response.once("error", () => resolve(undefined));
    });
    asked.end();
  });
}

export interface NodeStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly version: string;
}

export async function nodes(cluster: Instance): Promise<NodeStatus[]> {
  interface Node {
    metadata: { name: string };
    status: { conditions?: { type: string; status: string }[]; nodeInfo?: { kubeletVersion: string } };
  }
  const text = await ask(cluster, "/api/v1/nodes");
  if (text === undefined) return [];
  return (JSON.parse(text) as { items: Node[] }).items.map(({ metadata, status }) => ({
    name: metadata.name,
    ready: status.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") ?? false,
    version: status.nodeInfo?.kubeletVersion ?? "",
  }));
}

/** Until `done`, or one of the daemons that it takes has ended, or it takes too long. */
export async function until(
  what: string,
  done: () => Promise<boolean>,
  { cluster, seconds, daemons, signal }: Wait,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await done())) {
    for (const daemon of daemons) daemon.check();
    if (performance.now() > end) throw new ClusterProblem("TIMED_OUT", { what, seconds, log: logFolder(cluster) });
    await sleep(100, undefined, { signal });
  }
}

export interface Wait {
  readonly cluster: Instance;
  readonly seconds: number;
  readonly daemons: readonly Daemon[];
  readonly signal: AbortSignal;
}
