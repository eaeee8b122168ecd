// The cluster that the stories are told on: E2E_PROVIDER=local (made here, see cluster/), kind, or existing (KUBECONFIG's own, with E2E_IMAGE to be pulled).
// Enters: the environment. Leaves: a kubectl in a namespace of this run, and the project's image on every node.
import { randomBytes } from "node:crypto";
import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { archive, buildImage, projectImage } from "./cluster/images.ts";
import { binFolder, checkout, type Instance, instance, kubeconfigPath, readState } from "./cluster/instance.ts";
import { loadEverywhere } from "./cluster/node.ts";
import { defaultKubernetes } from "./cluster/programs.ts";
import { down } from "./cluster/down.ts";
import { up } from "./cluster/up.ts";
import { Kubectl, say } from "./kubectl.ts";

export interface Stage extends AsyncDisposable {
  readonly kubectl: Kubectl;
  /** the project's, on every node */
  readonly image: string;
}
/** One whose machines and wires are at hand, too. */
export interface LocalStage extends Stage {
  readonly cluster: Instance;
}

interface Provided {
  readonly kubectl: Kubectl;
  readonly image: string;
  readonly end: () => Promise<void>;
}

const tell = (text: string): void => {
  process.stderr.write(`e2e: ${text}\n`);
};

export async function stage(): Promise<Stage> {
  const provider = process.env["E2E_PROVIDER"] ?? "local";
  const open = { local, kind, existing }[provider];
  if (open === undefined) throw new Error(`E2E_PROVIDER is local, kind or existing, not ${provider}`);
  return inNamespace(await open());
}

/** For what needs the fabric between the nodes: always the cluster that is made here. */
export async function localStage(): Promise<LocalStage> {
  return { ...(await inNamespace(await local())), cluster: localCluster() };
}

async function inNamespace({ kubectl, image, end }: Provided): Promise<Stage> {
  const namespace = `tapline-e2e-${randomBytes(3).toString("hex")}`;
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Namespace",
    // Pods of agents use the node's network and capabilities.
    metadata: { name: namespace, labels: { "pod-security.kubernetes.io/enforce": "privileged" } },
  });
  return {
    kubectl: kubectl.in(namespace),
    image,
    [Symbol.asyncDispose]: async () => {
      await kubectl.run("delete", "namespace", namespace, "--wait=false");
      await end();
    },
  };
}

const localCluster = (): Instance => instance(process.env["E2E_CLUSTER"] ?? "e2e");

/** A cluster that is up already stays up: whoever works on a test does not wait for it each time. */
async function local(): Promise<Provided> {
  const cluster = localCluster();
  const { signal } = new AbortController();
  const wasUp = readState(cluster)?.phase === "up";
  const kubernetes =
    process.env["E2E_KUBERNETES"] ?? (wasUp ? readState(cluster)?.kubernetes : undefined) ?? defaultKubernetes();
  await up(cluster, { nodes: readState(cluster)?.nodes ?? 3, kubernetes, port: 0 }, tell, signal);
  try {
    const image = await projectImage(tell, signal);
    await loadEverywhere(cluster, await archive(image, signal), signal);
    const kubectl = new Kubectl(join(binFolder(cluster), "kubectl"), kubeconfigPath(cluster), {
      cache: join(cluster.folder, "kubectl"),
    });
    return { kubectl, image, end: async () => (wasUp ? undefined : down(cluster)) };
  } catch (error) {
    if (!wasUp) await down(cluster);
    throw error;
  }
}

async function kind(): Promise<Provided> {
  const { signal } = new AbortController();
  const name = process.env["E2E_CLUSTER"] ?? "tapline";
  const folder = mkdtempSync(join(tmpdir(), "tapline-kind-"));
  const kubeconfig = join(folder, "kubeconfig");
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await say("kind", args);
    if (code !== 0) throw new Error(`kind ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const wasUp = (await run("get", "clusters")).split("\n").includes(name);
  const nodeImage = process.env["E2E_KIND_IMAGE"];
  const more = nodeImage === undefined ? [] : ["--image", nodeImage];
  if (!wasUp)
    await run(
      "create",
      "cluster",
      "--name",
      name,
      "--config",
      join(checkout, "deploy/kind/cluster.yaml"),
      "--kubeconfig",
      kubeconfig,
      "--wait",
      "120s",
      ...more,
    );
  else await run("export", "kubeconfig", "--name", name, "--kubeconfig", kubeconfig);
  const image = process.env["E2E_IMAGE"] ?? (await buildImage({ BUILDER: "docker", TAG: "e2e" }, signal));
  await run("load", "docker-image", image, "--name", name);
  const end = async (): Promise<void> => {
    if (!wasUp) await run("delete", "cluster", "--name", name);
    rmSync(folder, { recursive: true, force: true });
  };
  return { kubectl: new Kubectl("kubectl", kubeconfig), image, end };
}

async function existing(): Promise<Provided> {
  const { KUBECONFIG: kubeconfig, E2E_IMAGE: image } = process.env;
  if (kubeconfig === undefined || image === undefined)
    throw new Error("E2E_PROVIDER=existing needs KUBECONFIG, and E2E_IMAGE: an image that its nodes can pull");
  return { kubectl: new Kubectl("kubectl", kubeconfig), image, end: async () => undefined };
}
