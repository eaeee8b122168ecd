// The cluster that the stories are told on: E2E_PROVIDER=local (made here, see cluster/), kind, or existing (KUBECONFIG's own, with E2E_IMAGE to be pulled).
// Enters: the environment. Leaves: a kubectl in a namespace of this run, and the project's image on every node.
import { randomBytes } from "node:crypto";
import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { archive, baseImage, boundStorage, buildah, load, makeBase } from "./cluster/images.ts";
import { binFolder, instance, kubeconfigPath, nodeNames, readState } from "./cluster/instance.ts";
import { Machine } from "./cluster/machine.ts";
import { defaultKubernetes } from "./cluster/programs.ts";
import { down } from "./cluster/down.ts";
import { up } from "./cluster/up.ts";
import { Kubectl, say } from "./kubectl.ts";

export const root = resolve(import.meta.dirname, "../..");

export interface Stage extends AsyncDisposable {
  readonly kubectl: Kubectl;
  /** the project's, on every node */
  readonly image: string;
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
  const { kubectl, image, end } = await open();
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

/** A cluster that is up already stays up: whoever works on a test does not wait for it each time. */
async function local(): Promise<Provided> {
  const cluster = instance(process.env["E2E_CLUSTER"] ?? "e2e");
  const signal = new AbortController().signal;
  const wasUp = readState(cluster)?.phase === "up";
  const kubernetes =
    process.env["E2E_KUBERNETES"] ?? (wasUp ? readState(cluster)?.kubernetes : undefined) ?? defaultKubernetes();
  const state = await up(cluster, { nodes: readState(cluster)?.nodes ?? 3, kubernetes, port: 0 }, tell, signal);
  try {
    const image = await localImage(signal);
    const path = await archive(image, signal);
    await Promise.all(nodeNames(state.nodes).map((name) => load(Machine.of(cluster, name), path, signal)));
    const kubectl = new Kubectl(join(binFolder(cluster), "kubectl"), kubeconfigPath(cluster));
    return { kubectl, image, end: async () => (wasUp ? undefined : down(cluster)) };
  } catch (error) {
    if (!wasUp) await down(cluster);
    throw error;
  }
}

/** The real deploy/Dockerfile, on a base made here. */
export async function localImage(signal: AbortSignal): Promise<string> {
  await makeBase(tell, signal);
  tell("building the image (minutes when native/ changed, else seconds)");
  await boundStorage(signal);
  return buildImage({ BASE: baseImage, BUILDER: buildah().join(" "), TAG: "e2e" });
}

async function buildImage(env: NodeJS.ProcessEnv): Promise<string> {
  const { code, stdout, stderr } = await say(join(root, "deploy/image.sh"), [], { env: { ...process.env, ...env } });
  if (code !== 0) throw new Error(`deploy/image.sh: ${stderr.slice(-4000)}`);
  return stdout.trim();
}

async function kind(): Promise<Provided> {
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
      join(root, "deploy/kind/cluster.yaml"),
      "--kubeconfig",
      kubeconfig,
      "--wait",
      "120s",
      ...more,
    );
  else await run("export", "kubeconfig", "--name", name, "--kubeconfig", kubeconfig);
  const image = process.env["E2E_IMAGE"] ?? (await buildImage({ BUILDER: "docker", TAG: "e2e" }));
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
