// The README's ```sh blocks are run as they stand, one after the other, in one empty folder, with bin/ on the PATH.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");
const folder = mkdtempSync(join(tmpdir(), "tapline-readme-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The ports of the text may be taken on this machine. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });

const run = (script: string) =>
  spawnSync("timeout", ["120", "bash", "-euo", "pipefail"], {
    // What a block started in the background ends with it.
    input: `trap 'jobs -p | xargs -r kill; wait' EXIT\n${script}`,
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(root, "bin")}:${process.env["PATH"]}` },
  });

test("the README has commands to run, and shows the two that set everything up", () => {
  expect(blocks.length).toBeGreaterThan(0);
  expect(readme).toContain("make run");
  expect(readme).toContain("make test");
});

test.each(blocks.map((block, index) => ({ title: block.split("\n")[0], block, index })))(
  "README block $index works: $title",
  async ({ block }) => {
    let script = block;
    for (const port of ["3001", "9464", "3002", "9465"]) script = script.replaceAll(port, String(await freePort()));
    const { status, stdout, stderr } = run(script);
    expect(status, `${stdout}\n${stderr}`).toBe(0);
  },
  180_000,
);
