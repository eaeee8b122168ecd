// helm as a person uses it, on charts/tapline: values in, objects or a refusal out. The program is the one that the cluster of test/e2e brings.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { checkout } from "../e2e/cluster/instance.ts";
import { type Built, provide, tools } from "../e2e/cluster/programs.ts";
import { type Said, say } from "../e2e/kubectl.ts";

export const chart = join(checkout, "charts/tapline");
export const values = (name: string): string => join(import.meta.dirname, "values", `${name}.yaml`);
/** What people install: each is linted, rendered, compared with its golden file and held against the apiserver's schemas. */
export const valueFiles = ["default", "external-nats", "everything", "air-gapped", "single-node"] as const;

/** The first time on a machine, helm is built from its sources. For beforeAll. */
export const firstStartMs = 600_000;

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly [key: string]: unknown;
}

export async function tool(name: string): Promise<string> {
  const found = tools.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no tool ${name}`);
  const told = (text: string): boolean => process.stderr.write(`${text}\n`);
  const built: Built = await provide(found, told, new AbortController().signal);
  if (!existsSync(built.path)) throw new Error(`${name} was not built`);
  return built.path;
}

/** Its words, with nothing from this machine's own helm: no repositories, plugins, kubeconfig. */
export async function helm(args: readonly string[], kubeconfig = "/dev/null", input?: string): Promise<Said> {
  const home = join(checkout, "build/test-helm");
  const env = {
    PATH: process.env["PATH"],
    HOME: home,
    HELM_CACHE_HOME: home,
    HELM_CONFIG_HOME: home,
    HELM_DATA_HOME: home,
    KUBECONFIG: kubeconfig,
  };
  return say(await tool("helm"), args, { env, ...(input === undefined ? {} : { input }) });
}

const release = ["tapline", chart, "--namespace", "tapline-system"];

/** Of `helm template`; `more`: --set and the like. */
export const rendering = (...more: string[]): Promise<Said> => helm(["template", ...release, ...more]);
/** With these values, as a file would give them. */
export const renderingOf = (given: object, ...more: string[]): Promise<Said> =>
  helm(["template", ...release, "--values", "-", ...more], "/dev/null", JSON.stringify(given));

export async function rendered(...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await rendering(...more);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

export const objectsOf = (text: string): KubeObject[] =>
  parseAllDocuments(text, { version: "1.1" }).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0] as Error;
    const value = document.toJS() as KubeObject | null;
    return value === null ? [] : [value];
  });

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: string[];
  readonly command?: string[];
  readonly resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  readonly securityContext?: Record<string, unknown>;
}
export interface PodSpec {
  readonly containers: Container[];
  readonly initContainers?: Container[];
  readonly securityContext?: Record<string, unknown>;
  readonly imagePullSecrets?: { name: string }[];
  readonly automountServiceAccountToken?: boolean;
}

/** Of everything that becomes a pod, with its owner's name. */
export const podSpecs = (objects: readonly KubeObject[]): { owner: string; spec: PodSpec }[] =>
  objects.flatMap((object) => {
    const owner = `${object.kind} ${object.metadata.name}`;
    const spec = object["spec"] as { template?: { spec: PodSpec } } | undefined;
    if (object.kind === "Pod") return [{ owner, spec: spec as unknown as PodSpec }];
    return spec?.template?.spec === undefined ? [] : [{ owner, spec: spec.template.spec }];
  });

export function named(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}
