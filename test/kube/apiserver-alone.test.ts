// The apiserver that other tests stand on: it is a real one, keeps what was written over its own death, and leaves nothing.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";

describe("an apiserver alone", () => {
  let alone: ApiserverAlone;
  beforeAll(async () => {
    alone = await ApiserverAlone.start();
  }, firstStartMs);
  afterAll(() => alone[Symbol.asyncDispose]());

  it("takes objects, judges them, and keeps them over its own death", async () => {
    const { kubectl } = alone;
    await kubectl.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "kept" }, data: { a: "1" } });
    const refused = await kubectl.tryApply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "Not A Name" } });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("RFC 1123") });
    await alone.down("SIGKILL");
    expect((await kubectl.try(["get", "configmap", "kept"])).code).toBe(1);
    await alone.up();
    expect(await kubectl.get("configmap", "kept")).toMatchObject({ data: { a: "1" } });
  });

  it("gives service accounts tokens, and does what RBAC says", async () => {
    const { kubectl } = alone;
    await kubectl.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "reader" } });
    const token = (await kubectl.run("create", "token", "reader")).trim();
    const asReader = ["--token", token, "--server", alone.server, "--kubeconfig", "/dev/null"];
    const ca = ["--certificate-authority", `${alone.folder}/pki/ca.crt`];
    const get = (): ReturnType<typeof kubectl.try> => kubectl.try([...asReader, ...ca, "get", "configmaps"]);
    expect((await get()).stderr).toContain("cannot list resource");
    await kubectl.run("create", "role", "reader", "--verb=list", "--resource=configmaps");
    await kubectl.run("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader");
    await eventually("the role is known", 10, async () => (await get()).code === 0);
  });
});

const started = `
  import { ApiserverAlone } from "./apiserver-alone.ts";
  const alone = await ApiserverAlone.start();
  console.log(JSON.stringify({ port: alone.port, folder: alone.folder }));
  setInterval(() => {}, 1000);
`;
/** Of all processes whose command line has the folder in it. */
const processesOf = (folder: string): string[] =>
  execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(folder));

it("ends with the process that started it, even when that is killed", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", started], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { folder } = JSON.parse(String(line)) as { folder: string };
  expect(processesOf(folder)).toHaveLength(2);
  child.kill("SIGKILL");
  await eventually("both have ended", 10, () => Promise.resolve(processesOf(folder).length === 0));
  expect(existsSync(folder)).toBe(true); // nobody was there to remove it
  execFileSync("rm", ["-r", folder]);
});

it("says what the programs said when it does not start", async () => {
  await expect(ApiserverAlone.start({ flags: ["--no-such-flag"] })).rejects.toThrow("unknown flag: --no-such-flag");
});

it("leaves neither processes nor files", async () => {
  const alone = await ApiserverAlone.start();
  const { folder } = alone;
  expect(processesOf(folder)).toHaveLength(2);
  expect(readFileSync(alone.kubeconfig, "utf8")).toContain(alone.server);
  await alone[Symbol.asyncDispose]();
  expect(processesOf(folder)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});
