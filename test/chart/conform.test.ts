// kubeconform, on the schemas that each pinned Kubernetes publishes: every object of every kind, without leaving one out.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { kubernetesVersions } from "../e2e/cluster/programs.ts";
import { say } from "../e2e/kubectl.ts";
import { chart, firstStartMs, objectsOf, rendered, tool, valueFiles, values } from "./helm.ts";
import { schemaLocation, writeSchemas } from "./schemas.ts";

interface Report {
  resources: { name: string; kind: string; status: string; msg: string }[] | null;
  summary: { valid: number; invalid: number; errors: number; skipped: number };
}

beforeAll(async () => {
  await tool("helm");
  await tool("kubeconform");
}, firstStartMs);

describe.each(kubernetesVersions())("of Kubernetes %s", (version) => {
  let folder: string;
  beforeAll(async () => {
    folder = await writeSchemas(version);
  }, 120_000);
  const conform = async (objects: string): Promise<Report> => {
    const args = ["-strict", "-output", "json", "-summary", "-schema-location", schemaLocation(folder), "-"];
    return JSON.parse((await say(await tool("kubeconform"), args, { input: objects })).stdout) as Report;
  };

  it.each(valueFiles)("all objects conform, with the values %s", async (name) => {
    const text = await rendered("--values", values(name), "--kube-version", `${version}.0`);
    const { resources, summary } = await conform(text);
    expect(resources ?? []).toEqual([]);
    expect(summary).toEqual({ valid: objectsOf(text).length, invalid: 0, errors: 0, skipped: 0 });
  });

  it.each([
    ["a field that is none", /^ {2}replicas: 2$/m, "  replicas: 2\n  replica: 2", "replica"],
    ["a word for a number", /containerPort: 9463/, "containerPort: metrics", "containerPort"],
    ["a field of a monitor that is none", /podMetricsEndpoints:/, "podEndpoints:", "podEndpoints"],
  ])("%s does not", async (_, before, after, named) => {
    const text = await rendered("--values", values("default"), "--set", "monitoring.scrape=PodMonitor");
    expect(text).toMatch(before);
    const { resources, summary } = await conform(text.replace(before, after));
    expect(summary).toMatchObject({ invalid: 1, errors: 0, skipped: 0 });
    expect(resources?.[0]?.msg).toContain(named);
  });
});

it("Prometheus understands the alerts", () => {
  const path = join(chart, "files/alerts.yaml");
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "rules", path], { encoding: "utf8" });
  expect(`${stdout}${stderr}`).toContain(`SUCCESS: ${(readFileSync(path, "utf8").match(/- alert:/g) ?? []).length} rules found`); // biome-ignore format: one line
  expect(status).toBe(0);
});
