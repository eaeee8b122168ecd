// What a person reads on a machine that lacks something: what it is, and what to do about it. Nothing is made there.
// Each machine is this one, made poorer: without a right, with another /proc, with a port in use.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { members } from "./cluster/cgroups.ts";
import { instance } from "./cluster/instance.ts";
import { conduct, conductor, say } from "./kubectl.ts";

const cluster = instance("test-missing");

const refusal = async (program: string, ...args: string[]): Promise<string> => {
  const { code, stderr } = await say(program, args);
  expect(code, stderr).toBe(1);
  expect(stderr).toContain("remedy: ");
  expect(members(cluster.cgroup)).toEqual([]);
  return stderr;
};
const upHere = [process.execPath, conductor, "up", "--name", cluster.name];
/** In a mount namespace where a file reads differently. */
const where = (path: string, text: string): string[] => {
  const file = join(scratch, path.replaceAll("/", "_"));
  writeFileSync(file, text);
  return ["--mount", "--", "sh", "-ec", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh", file, path, ...upHere];
};
const scratch = mkdtempSync(join(tmpdir(), "tapline-lacking-"));
afterAll(() => rmSync(scratch, { recursive: true }));

test("root", async () => {
  const said = await refusal("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", ...upHere);
  expect(said).toContain("NOT_ROOT");
});
test("the right to make namespaces", async () => {
  expect(await refusal("setpriv", "--bounding-set=-sys_admin", "--", ...upHere)).toContain(
    "does not allow network namespaces",
  );
});
test("memory", async () => {
  expect(
    await refusal("unshare", ...where("/proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 700000 kB\n")),
  ).toMatch(/683 MiB of memory are free.*1500 MiB.*MEMORY_SHORT/);
});
test("cgroups", async () => {
  const script = 'umount -l -R /sys/fs/cgroup; exec "$@"';
  expect(await refusal("unshare", "--mount", "--", "sh", "-ec", script, "sh", ...upHere)).toMatch(
    /cgroups: none is mounted/,
  );
});
test("a kernel with what the nodes' file systems need", async () => {
  // A mount program that refuses one kind, as a kernel without it would.
  const script = `mkdir "$0/bin"; printf '#!/bin/sh\\ncase "$*" in *overlay*) echo "unknown filesystem type overlay" >&2; exit 32;; esac\\nexec /bin/mount "$@"\\n' >"$0/bin/mount"; chmod +x "$0/bin/mount"; PATH="$0/bin:$PATH" exec "$@"`;
  expect(await refusal("sh", "-ec", script, scratch, ...upHere)).toMatch(
    /overlayfs: .*unknown filesystem type overlay.*\(KERNEL_LACKS\)/,
  );
});
test("a program, with its package", async () => {
  expect(
    await refusal(
      "unshare",
      ...where("/usr/lib/cni/ptp", "").slice(0, 4),
      'mount -t tmpfs none /usr/lib/cni; exec "$@"',
      "sh",
      ...upHere,
    ),
  ).toContain("apt-get install -y --no-install-recommends containernetworking-plugins");
});
test("a free port", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  const port = await new Promise<number>((resolve) =>
    server.once("listening", () => resolve((server.address() as { port: number }).port)),
  );
  try {
    expect(await refusal(process.execPath, ...upHere.slice(1), "--port", String(port))).toContain(
      `port ${port} of 127.0.0.1 is in use (PORT_TAKEN)`,
    );
  } finally {
    server.close();
  }
});
test("a Kubernetes that is pinned here", async () => {
  expect(await refusal(process.execPath, ...upHere.slice(1), "--kubernetes", "1.2")).toContain("KUBERNETES_UNKNOWN");
});
test("words that are understood", async () => {
  const { code, stderr } = await conduct("up", "--nodes", "0");
  expect(code).toBe(2);
  expect(stderr).toContain("--nodes is a whole number from 1 to 16, not 0");
});
