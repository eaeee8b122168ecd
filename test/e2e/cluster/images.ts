// Container images without a registry and without Docker: buildah makes them, an archive carries them, containerd takes them in.
// All of buildah's own files lie in the cache; it works in a mount namespace of its own, so that its mounts end with it.
import { createHash, randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { run } from "./command.ts";
import { cacheFolder, checkout } from "./instance.ts";
import { provide, release, tools } from "./programs.ts";

export const pauseImage = "localhost/pause:1";
/** what a local build of deploy/Dockerfile starts from */
const baseImage = "localhost/debian:bookworm";

const suite = "bookworm";
const folder = (): string => join(cacheFolder(), "images");
/** A base older than this is made anew: it holds packages, and those get mended. */
const baseDays = 30;

/** The words before buildah's own; a storage that no other buildah of this machine knows. */
function buildah(): string[] {
  const [root, runRoot] = [join(folder(), "storage"), join(folder(), "run")];
  const own = ["unshare", "--mount", "--propagation", "private", "--"];
  return [...own, "buildah", "--root", root, "--runroot", runRoot, "--storage-driver", "overlay"];
}

async function buildahRun(args: readonly string[], signal: AbortSignal): Promise<string> {
  mkdirSync(folder(), { recursive: true });
  const [program = "", ...words] = buildah();
  return run(program, [...words, ...args], { signal });
}

/** A folder with a Dockerfile → an image in the storage. */
async function buildFrom(context: string, image: string, signal: AbortSignal): Promise<void> {
  await buildahRun(["bud", "--isolation", "chroot", "-t", image, context], signal);
}

/** An image of the storage as a file that containerd reads; written once for each image. */
export async function archive(image: string, signal: AbortSignal): Promise<string> {
  const id = (await buildahRun(["images", "--quiet", "--no-trunc", image], signal)).trim().replace(":", "-");
  const path = join(folder(), "archives", `${image.replace(/[^\w.-]/g, "_")}-${id}.tar`);
  if (existsSync(path)) return path;
  const archives = join(folder(), "archives");
  mkdirSync(archives, { recursive: true });
  const aside = `${path}.${randomUUID()}`;
  await buildahRun(["push", image, `docker-archive:${aside}:${image}`], signal);
  renameSync(aside, path);
  // Of each image the newest only: they are large.
  for (const other of readdirSync(archives))
    if (other.startsWith(basename(path).replace(/sha256.*/, "")) && other !== basename(path))
      rmSync(join(archives, other));
  return path;
}

/** Layers make the next build short, and grow with each. Beyond this they are thrown away, and the next build is a long one. */
const mostStorageMiB = 8000;

/** The project's image, from the real deploy/Dockerfile, on a base made here. */
export async function projectImage(say: (text: string) => void, signal: AbortSignal): Promise<string> {
  await makeBase(say, signal);
  const [used = ""] = (await run("du", ["-sm", join(folder(), "storage")], { signal })).split("\t");
  if (Number(used) > mostStorageMiB) await buildahRun(["rmi", "--prune", "--force"], signal);
  say("building the image (minutes when native/ changed, else seconds)");
  return buildImage({ BASE: baseImage, BUILDER: buildah().join(" "), TAG: "e2e" }, signal);
}

/** As `make images` does it; `env` says with what. The image's name. */
export async function buildImage(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  const script = join(checkout, "deploy", "image.sh");
  return (await run(script, [], { env: { ...process.env, ...env }, signal })).trim();
}

export interface NatsImage {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/** As NATS' own image of this version: the server alone, and its path the entry point. */
export async function natsImage(say: (text: string) => void, signal: AbortSignal): Promise<NatsImage> {
  const program = tools.find(({ name }) => name === "nats-server");
  if (program === undefined) throw new Error("nats-server is no tool any more");
  const { path } = await provide(program, say, signal);
  const image = { registry: "localhost", repository: "nats", tag: release(program).slice(1) };
  const name = `${image.registry}/${image.repository}:${image.tag}`;
  if ((await buildahRun(["images", "--format", "{{.Name}}:{{.Tag}}"], signal)).split("\n").includes(name)) return image;
  await inScratch(async (scratch) => {
    await run("cp", [path, join(scratch, "nats-server")], { signal });
    const lines = ["FROM scratch", "COPY nats-server /nats-server", 'ENTRYPOINT ["/nats-server"]'];
    writeFileSync(join(scratch, "Dockerfile"), `${lines.join("\n")}\n`);
    await buildFrom(scratch, name, signal);
  });
  return image;
}

async function inScratch<T>(work: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = mkdtempSync(join(tmpdir(), "tapline-image-"));
  try {
    return await work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The image of every pod's first process. Its archive's path. */
export async function pauseArchive(signal: AbortSignal): Promise<string> {
  const source = join(import.meta.dirname, "pause.c");
  const path = join(
    folder(),
    `pause-${createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16)}.tar`,
  );
  if (existsSync(path)) return path;
  await inScratch(async (scratch) => {
    await run("gcc", ["-static", "-Os", "-s", "-Wall", "-Werror", source, "-o", join(scratch, "pause")], { signal });
    writeFileSync(join(scratch, "Dockerfile"), 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n');
    await buildFrom(scratch, pauseImage, signal);
  });
  const made = await archive(pauseImage, signal);
  const aside = `${path}.${randomUUID()}`;
  await run("cp", ["--reflink=auto", made, aside], { signal });
  renameSync(aside, path);
  return path;
}

/** Debian's own first packages, from the mirrors that this machine's apt uses; in the storage as `baseImage`. */
async function makeBase(say: (text: string) => void, signal: AbortSignal): Promise<void> {
  const path = join(folder(), `${suite}-${process.arch}.tar`);
  const fresh = existsSync(path) && Date.now() - statSync(path).mtimeMs < baseDays * 86_400_000;
  const known = (await buildahRun(["images", "--format", "{{.Name}}:{{.Tag}}"], signal)).includes(baseImage);
  if (fresh && known) return;
  say(`making ${baseImage} by debootstrap`);
  await inScratch(async (scratch) => {
    const root = join(scratch, "root");
    const mirrors = await aptMirrors(signal);
    await run("debootstrap", ["--variant=minbase", suite, root, mirrors.main], { signal });
    writeFileSync(join(root, "etc/apt/sources.list"), `${mirrors.lines.join("\n")}\n`);
    rmSync(join(root, "var/cache/apt/archives"), { recursive: true, force: true });
    mkdirSync(join(root, "var/cache/apt/archives/partial"), { recursive: true });
    rmSync(join(root, "var/lib/apt/lists"), { recursive: true, force: true });
    await run("tar", ["-C", root, "-cf", join(scratch, "root.tar"), "."], { signal });
    rmSync(root, { recursive: true, force: true });
    writeFileSync(join(scratch, "Dockerfile"), 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n');
    await buildFrom(scratch, baseImage, signal);
    await run("cp", [join(scratch, "root.tar"), `${path}.new`], { signal });
    renameSync(`${path}.new`, path);
  });
}

/** Elsewhere than on Debian the sources are of another system. */
async function aptMirrors(signal: AbortSignal): Promise<{ main: string; lines: string[] }> {
  const isDebian = /^ID=debian$/m.test(readFileSync("/etc/os-release", "utf8"));
  const format = ["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"];
  const targets = isDebian ? (await run("apt-get", format, { signal })).trim().split("\n") : [];
  const lines = [...new Set(targets)].filter((line) => line.includes(` ${suite}`)).map((line) => `deb ${line}`);
  const main = lines.find((line) => line.endsWith(` ${suite} main`))?.split(" ")[1];
  if (main !== undefined) return { main, lines };
  const usual = "http://deb.debian.org/debian";
  return { main: usual, lines: [`deb ${usual} ${suite} main`, `deb ${usual} ${suite}-updates main`] };
}
