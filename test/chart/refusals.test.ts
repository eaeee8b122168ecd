// Wrong values, and what a person reads. First those of the schema, then those of the chart's own checks.
import { beforeAll, expect, it } from "vitest";
import { firstStartMs, renderingOf, tool } from "./helm.ts";

beforeAll(() => tool("helm"), firstStartMs);

const secrets = { operator: "o", sensor: "s", relay: "r", console: "c" };
const url = ["tls://nats.example.com:4222"];

type Wrong = readonly [what: string, values: object, ...message: string[]];
const wrong: readonly Wrong[] = [
  // The schema's.
  ["a key that is none", { replicas: 2 }, "additional properties 'replicas' not allowed"],
  ["a key at the wrong place", { operator: { metrics: { port: 1 } } }, "at '/operator'", "'metrics' not allowed"],
  ["a word for a number", { operator: { replicas: "two" } }, "at '/operator/replicas': got string, want integer"],
  ["no operator at all", { operator: { replicas: 0 } }, "at '/operator/replicas': minimum: got 0, want 1"],
  ["a port that needs rights", { operator: { metricsPort: 80 } }, "at '/operator/metricsPort': minimum: got 80, want 1,024"],
  ["a severity that is none", { operator: { logLevel: "verbose" } }, "at '/operator/logLevel': value must be one of 'debug', 'info'"],
  ["yes in quotes", { crds: { keep: "yes" } }, "at '/crds/keep': got string, want boolean"],
  ["a resource that is none", { operator: { resources: { limits: { ram: "1Gi" } } } }, "at '/operator/resources/limits': additional properties 'ram' not allowed"],
  ["pull secrets as words", { imagePullSecrets: ["login"] }, "at '/imagePullSecrets/0': got string, want object"],
  ["a way to scrape that is none", { monitoring: { scrape: "Pod" } }, "at '/monitoring/scrape'", "'None', 'PodMonitor', 'ServiceMonitor'"],
  ["too little memory", { agents: { relay: { memoryMiB: 8 } } }, "at '/agents/relay/memoryMiB': minimum: got 8, want 64"],
  ["a volume of half a GiB", { nats: { storage: { sizeGiB: 0.5 } } }, "at '/nats/storage/sizeGiB'"],
  ["a name that is too long for what is appended", { fullnameOverride: "x".repeat(40) }, "at '/fullnameOverride': maxLength: got 40, want 36"],
  // The chart's.
  ["a console", { console: { enabled: true } }, "console.enabled: this version has no console yet; leave it false"],
  ["a fleet's name with dots", { fleet: "eu.west" }, 'fleet: "eu.west" must be small letters, digits and inner hyphens'],
  ["the tag latest", { image: { tag: "latest" } }, "image.tag: latest is a different program every day", "name a version, or a digest"],
  ["the tag latest of NATS", { nats: { image: { tag: "latest" } } }, "nats.image.tag: latest is"],
  ["half a digest", { image: { digest: "sha256:abc" } }, 'image.digest: "sha256:abc" must be sha256: and 64 hexadecimal digits'],
  ["a tag within the name", { image: { repository: "tapline:1" } }, 'image.repository: "tapline:1" must be the name alone'],
  ["a registry as a web address", { imageRegistry: "https://r.example.com" }, "imageRegistry:", "without https://"],
  ["a NATS without its Secrets", { nats: { url } }, "nats.secrets.operator: is needed with nats.url", "nats.secrets.console: is needed"],
  ["Secrets without a NATS", { nats: { secrets } }, "nats.secrets.relay: belongs to a NATS of your own: set nats.url too"],
  ["a login without a NATS", { nats: { login: "creds" } }, "nats.login: creds belongs to a NATS of your own"],
  ["a NATS by http", { nats: { url: ["http://n:4222"], secrets } }, 'nats.url: "http://n:4222" must start with nats:// or tls://'],
  ["a password in an address", { nats: { url: ["nats://u:p@n:4222"], secrets } }, "nats.url: must not contain a user or password"],
  ["a class for no volume", { nats: { storage: { type: "EmptyDir", className: "fast" } } }, "nats.storage.className: has no effect"],
  ["a policy that shuts agents out", { networkPolicy: { enabled: true } }, "networkPolicy.nodes: is needed", "kubectl get nodes -o wide"],
  ["an address without its prefix", { networkPolicy: { enabled: true, nodes: ["10.0.0.1"] } }, 'networkPolicy.nodes: "10.0.0.1" must be addresses with their prefix'],
  ["a profile that is not named", { agents: { seccomp: { type: "Localhost" } } }, "agents.seccomp.localhostProfile: is needed with type Localhost"],
  ["a profile that is not used", { agents: { seccomp: { localhostProfile: "p.json" } } }, "localhostProfile: has no effect without"],
  ["a profile elsewhere", { agents: { seccomp: { type: "Localhost", localhostProfile: "/etc/p.json" } } }, "must lie below the kubelet's folder"],
  ["definitions of somebody else, to be removed", { crds: { enabled: false, keep: false } }, "crds.keep: false has no effect without crds.enabled"],
  ["an interval without its unit", { monitoring: { interval: "30" } }, 'monitoring.interval: "30" must be a duration with its unit'],
]; // biome-ignore format: a table

it.each(wrong)("%s is refused, and it is said why", async (_, values, ...messages) => {
  const { code, stdout, stderr } = await renderingOf(values);
  expect(code).toBe(1);
  expect(stdout).toBe("");
  for (const message of messages) expect(stderr).toContain(message);
});

it("everything that is wrong is said at once", async () => {
  const { stderr } = await renderingOf({ fleet: "A", console: { enabled: true }, image: { tag: "latest" } });
  expect(stderr).toMatch(/- fleet: [\s\S]*- image\.tag: [\s\S]*- console\.enabled: [\s\S]*charts\/tapline\/README\.md/);
});

it("a Kubernetes that cannot check addresses is refused", async () => {
  const { code, stderr } = await renderingOf({}, "--kube-version", "1.30.0");
  expect(code).toBe(1);
  expect(stderr).toContain("chart requires kubeVersion: >=1.31.0-0 which is incompatible with Kubernetes v1.30.0");
});

it("what a parent chart tells all its charts is let through", async () => {
  const { code, stderr } = await renderingOf({ global: { anything: 1 } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});
