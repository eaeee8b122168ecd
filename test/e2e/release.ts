// The chart on a cluster, as a person installs it. Enters: a stage, and this machine's NATS image. Leaves: an operator that leads, and words to ask objects how they are.
import { chart, helm } from "../chart/helm.ts";
import { archive, natsImage } from "./cluster/images.ts";
import { kubeconfigPath } from "./cluster/instance.ts";
import { loadEverywhere } from "./cluster/node.ts";
import { eventually, type Kubectl } from "./kubectl.ts";
import type { LocalStage } from "./provider.ts";

const name = "tapline";
const { signal } = new AbortController();

export class Release {
  readonly #stage: LocalStage;

  private constructor(stage: LocalStage) {
    this.#stage = stage;
  }

  /** Ends when one operator leads and NATS is there. */
  static async install(stage: LocalStage): Promise<Release> {
    const nats = await natsImage(() => undefined, signal);
    const archived = await archive(`${nats.registry}/${nats.repository}:${nats.tag}`, signal);
    await loadEverywhere(stage.cluster, archived, signal);
    const release = new Release(stage);
    const values = { ...release.#image(), nats: { image: nats, storage: { type: "EmptyDir" } }, crds: { keep: false } };
    await release.helm("install", [chart, "--values", "-"], JSON.stringify(values));
    await release.rolledOut("statefulset/tapline-nats");
    await release.rolledOut("deployment/tapline-operator");
    await eventually("an operator leads", 30, () => release.leader());
    return release;
  }

  #image(): object {
    const [, registry, repository, tag] = /^([^/]+)\/(.+):([^:]+)$/.exec(this.#stage.image) ?? [];
    return { image: { registry, repository, tag } };
  }

  get #kubectl(): Kubectl {
    return this.#stage.kubectl;
  }

  /** `verb` of the release; what helm printed. */
  async helm(verb: string, more: readonly string[] = [], input?: string): Promise<string> {
    const words = [verb, name, ...more, "--namespace", this.#kubectl.namespace];
    const { code, stdout, stderr } = await helm(words, kubeconfigPath(this.#stage.cluster), input);
    if (code !== 0) throw new Error(`helm ${verb}: ${stderr}${stdout}`);
    return stdout;
  }

  rolledOut(what: string): Promise<string> {
    return this.#kubectl.run("rollout", "status", what, "--timeout=90s");
  }

  /** Who holds the Lease; undefined while nobody does. */
  async leader(): Promise<string | undefined> {
    const held = ["get", "lease", "tapline-operator", "-o", "jsonpath={.spec.holderIdentity}"];
    return (await this.#kubectl.run(...held)).trim() || undefined;
  }
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
interface Told<Status> {
  readonly status?: Status & { readonly conditions?: readonly Condition[] };
}

/** An object's status, once it says what is expected: else it is told what it said last. */
export async function says<Status extends object>(
  kubectl: Kubectl,
  object: string,
  seconds: number,
  expected: (status: Status, condition: (type: string) => Condition | undefined) => boolean,
): Promise<Status> {
  let last: Status | undefined;
  try {
    return await eventually(`what ${object} should say`, seconds, async () => {
      const { status } = await kubectl.get<Told<Status>>(object);
      last = status;
      const condition = (type: string): Condition | undefined => status?.conditions?.find((one) => one.type === type);
      return status && expected(status, condition) ? status : undefined;
    });
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; it says ${JSON.stringify(last, null, 1)}`, { cause });
  }
}
