// What five kinds of installation come to: golden files to read, and what must be true of each object in them.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { operatorConfig } from "#domain/operator-config.ts";
import { parseConfig } from "#process/config.ts";
import { checkout } from "../e2e/cluster/instance.ts";
import { chart, firstStartMs, helm, named, objectsOf, podSpecs, rendered, tool, valueFiles, values } from "./helm.ts";

beforeAll(() => tool("helm"), firstStartMs);

const file = (path: string): string => readFileSync(join(chart, "files", path), "utf8");
const indented = (text: string, spaces: number): string =>
  text.trimEnd().replaceAll(/^/gm, " ".repeat(spaces)).trimEnd();

/** What is made anew at each rendering, and files that stand in the chart as they are: a golden file is to be read. */
function readable(text: string): string {
  let shown = text
    .replaceAll(/^( {2}[\w.-]+): [\w+/=]{20,}$/gm, "$1: (made)")
    .replaceAll(/^( +tapline\.dev\/configuration): "[0-9a-f]{16}"$/gm, "$1: (sum)")
    .replaceAll(/^ +\n/gm, "\n")
    .replaceAll(/^( +)helm\.sh\/chart: tapline-\S+\n(?: +app\.kubernetes\.io\/(?:name|instance): tapline\n){2} +app\.kubernetes\.io\/component: (\w+)\n +app\.kubernetes\.io\/version: "[\d.]+"\n +app\.kubernetes\.io\/managed-by: Helm$/gm, "$1(labels of $2)"); // biome-ignore format: one pattern
  for (const [path, spaces] of [["dashboards/fleet.json", 4], ["counted.cjs", 10], ["alerts.yaml", 2]] as const) // biome-ignore format: one line
    shown = shown.replace(
      indented(file(path), spaces).replaceAll(/^ +\n/gm, "\n"),
      `${" ".repeat(spaces)}(files/${path})`,
    );
  return shown.replaceAll(/^(kind: CustomResourceDefinition\n[\s\S]*?)^spec:\n(?:(?: .*)?\n)+/gm, "$1spec: (files/crds)\n"); // biome-ignore format: one line
}

describe.each(valueFiles)("with the values %s", (name) => {
  it("helm's own lint finds nothing", async () => {
    const { code, stdout, stderr } = await helm(["lint", "--strict", chart, "--values", values(name)]);
    expect(`${stdout}${stderr}`).not.toMatch(/\[(?:WARNING|ERROR)\]/);
    expect(code).toBe(0);
  });

  it("the objects are those of the golden file", async () => {
    const text = await rendered("--values", values(name));
    await expect(readable(text)).toMatchFileSnapshot(`golden/${name}.yaml`);
  });

  it("every pod is as restricted as Kubernetes asks of the most restricted", async () => {
    const objects = objectsOf(await rendered("--values", values(name)));
    const pods = podSpecs(objects);
    expect(pods.map(({ owner }) => owner)).toEqual(expect.arrayContaining(["Deployment tapline-operator", "Job tapline-drain", "Pod tapline-counted"])); // biome-ignore format: one line
    for (const { owner, spec } of pods) {
      const about = { owner, ...spec.securityContext };
      expect(about).toMatchObject({ owner, runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        expect(container.securityContext, owner).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(container.resources?.requests, owner).toMatchObject({ cpu: expect.anything(), memory: expect.anything() }); // biome-ignore format: one line
        expect(container.resources?.limits, owner).toMatchObject({ memory: expect.anything() });
        expect(container.image, owner).toMatch(/[^/]:[\w.-]+$|@sha256:[0-9a-f]{64}$/);
        expect(container.image, owner).not.toContain("latest");
      }
    }
    expect(JSON.stringify(objects)).not.toMatch(/"(?:privileged|hostNetwork|hostPID|hostIPC)":true|hostPath/);
  });

  it("no role has a wildcard, and no account but the operator's has a role", async () => {
    const objects = objectsOf(await rendered("--values", values(name)));
    const roles = objects.filter(({ kind }) => kind === "Role" || kind === "ClusterRole");
    expect(roles).toHaveLength(2);
    for (const { rules, metadata } of roles as unknown as { rules: Record<string, string[]>[]; metadata: object }[])
      for (const rule of rules) {
        expect(JSON.stringify(rule), JSON.stringify(metadata)).not.toContain("*");
        expect(rule["apiGroups"]?.length && rule["resources"]?.length && rule["verbs"]?.length).toBeTruthy();
      }
    const bound = objects.flatMap((object) => (object["subjects"] as { name: string }[] | undefined) ?? []);
    expect(new Set(bound.map((subject) => subject.name))).toEqual(new Set(["tapline-operator"]));
    for (const account of objects.filter(({ kind }) => kind === "ServiceAccount"))
      expect(account).toMatchObject({ automountServiceAccountToken: false });
  });

  it("the operator understands its configuration", async () => {
    const objects = objectsOf(await rendered("--values", values(name)));
    const { data } = named(objects, "ConfigMap", "tapline-operator") as unknown as { data: Record<string, string> };
    const parsed = parseConfig(data["operator.yaml"] ?? "", operatorConfig);
    expect(parsed).toHaveProperty("value");
    expect(parsed).toMatchObject({ value: { namespace: "tapline-system", agents: { relayAccount: "tapline-relay" } } });
  });

  it("every object says whose it is, and none is made twice", async () => {
    const objects = objectsOf(await rendered("--values", values(name)));
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names).toEqual([...new Set(names)]);
    for (const { kind, metadata } of objects.filter((object) => object.kind !== "Namespace"))
      expect(metadata.labels, `${kind} ${metadata.name}`).toMatchObject({
        "app.kubernetes.io/name": "tapline",
        "app.kubernetes.io/instance": "tapline",
        "app.kubernetes.io/component": expect.any(String),
        "app.kubernetes.io/managed-by": "Helm",
      });
  });
});

describe("images", () => {
  const images = async (...more: string[]): Promise<string[]> => [
    ...new Set(podSpecs(objectsOf(await rendered(...more))).flatMap(({ spec }) => spec.containers.map(({ image }) => image))), // biome-ignore format: one line
  ];

  it("come from one registry, by digest, with its login, also those of agents", async () => {
    const objects = objectsOf(await rendered("--values", values("air-gapped")));
    const from = "registry.internal:5000/mirror";
    const [own, nats] = [`${from}/tapline@sha256:${"1".repeat(64)}`, `${from}/library/nats:2.15.2@sha256:${"2".repeat(64)}`]; // biome-ignore format: one line
    expect(new Set(podSpecs(objects).flatMap(({ spec }) => spec.containers.map(({ image }) => image)))).toEqual(new Set([own, nats])); // biome-ignore format: one line
    for (const { owner, spec } of podSpecs(objects))
      expect(spec.imagePullSecrets, owner).toEqual([{ name: "mirror-login" }]);
    const { data } = named(objects, "ConfigMap", "tapline-operator") as unknown as { data: Record<string, string> };
    expect(parseConfig(data["operator.yaml"] ?? "", operatorConfig)).toMatchObject({
      value: { agents: { image: own, pullSecrets: ["mirror-login"] } },
    });
  });

  it("are of the chart's version unless told otherwise", async () => {
    const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
    expect(await images()).toContain(`localhost/tapline:${version}`);
    expect(await images("--set", "image.tag=0.9.9")).toContain("localhost/tapline:0.9.9");
  });
});

it("names stay within what Kubernetes takes, however long the release's is", async () => {
  const { stdout } = await helm(["template", "r".repeat(53), chart, "--set", "networkPolicy.enabled=true,networkPolicy.nodes={10.0.0.0/8},monitoring.scrape=ServiceMonitor"]); // biome-ignore format: one line
  const objects = objectsOf(stdout);
  expect(objects.length).toBeGreaterThan(20);
  // A StatefulSet's pods carry its name and a hash of ten as a label.
  for (const { kind, metadata } of objects)
    expect(metadata.name.length).toBeLessThanOrEqual(kind === "StatefulSet" ? 52 : 63);
  expect(objects.map(({ metadata }) => metadata.name).every((name) => /^[a-z0-9.-]*[a-z0-9]$/.test(name))).toBe(true);
});

it("a new version of the chart restarts nothing by itself: pods' labels do not name it", async () => {
  const objects = objectsOf(await rendered());
  const templates = objects.flatMap((object) => (object["spec"] as { template?: object } | undefined)?.template ?? []);
  expect(templates).toHaveLength(3);
  expect(JSON.stringify(templates)).not.toContain("helm.sh/chart");
});

it("the notes say the next three commands", async () => {
  const { stdout } = await helm(["install", "tapline", chart, "--namespace", "tapline-system", "--dry-run=client"]);
  const notes = stdout.slice(stdout.indexOf("NOTES:"));
  expect(notes).toMatch(
    /1\. kubectl .*rollout status[\s\S]*2\. kubectl apply[\s\S]*kind: SensorPool[\s\S]*3\. kubectl wait/,
  );
});
