// How the API is reached: kubeconfigs as people have them, and a pod's folder.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { kubeconfigAccess, podAccess } from "./access.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-access-"));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const config = (user: string, cluster = "server: https://example.test:6443"): string => `
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: there, context: {cluster: none, user: none}}
- {name: here, context: {cluster: ours, user: me, namespace: tapline}}
clusters:
- name: ours
  cluster: {${cluster}}
- name: another
  cluster: {server: "https://other.test", insecure-skip-tls-verify: true}
users:
- name: me
  user: {${user}}
- name: somebody
  user: {exec: {command: aws}}
`;
const read = (text: string): ReturnType<typeof kubeconfigAccess> => kubeconfigAccess(put("config", text), () => 0);

describe("a kubeconfig", () => {
  it("gives the current context's server and client certificates, from data or from files beside it", () => {
    put("ca.pem", "the authority");
    const pem = (text: string): string => Buffer.from(text).toString("base64");
    const user = `client-certificate-data: ${pem("mine")}, client-key-data: ${pem("secret")}`;
    expect(read(config(user, "server: https://example.test:6443, certificate-authority: ca.pem"))).toMatchObject({
      server: new URL("https://example.test:6443"),
      ca: "the authority",
      cert: "mine",
      key: "secret",
      namespace: "tapline",
      token: undefined,
    });
  });

  it("reads a token file again after a minute, and at once when the token was refused", () => {
    let time = 0;
    put("token", "first\n");
    const { token } = kubeconfigAccess(put("config", config("tokenFile: token")), () => time);
    expect(token?.(false)).toBe("first");
    put("token", "second\n");
    expect(token?.(false)).toBe("first");
    expect(token?.(true)).toBe("second");
    put("token", "third\n");
    time = 60_001;
    expect(token?.(false)).toBe("third");
  });

  it.each([
    ["another program for credentials", config("exec: {command: aws}"), /user me, exec: no other program is run/],
    [
      "an unverified server",
      config("token: t", "server: https://a.test, insecure-skip-tls-verify: true"),
      /always verified/,
    ],
    ["a missing user", config("token: t").replace("user: me", "user: you"), /it has no user you/],
    ["no server", config("token: t", "proxy-url: http://a"), /cluster ours, server/],
    ["something else", "just text", /expected object/],
    ["no YAML", "a: [", /./],
    [
      "a file that is not there",
      config("tokenFile: nowhere", "server: https://a, certificate-authority: nowhere"),
      /ENOENT/,
    ],
  ])("is refused with a reason: %s", (_, text, reason) => {
    expect(() => read(text)).toThrow(
      expect.objectContaining({ code: "KUBE_CONFIG_UNUSABLE", message: expect.stringMatching(reason) }),
    );
  });
});

describe("a pod", () => {
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  it("reaches the API by its service account", () => {
    put("token", "abc\n");
    put("ca.crt", "authority");
    put("namespace", "tapline\n");
    const { server, token, ca, namespace } = podAccess({ env, now: () => 0, folder });
    expect([server.href, token?.(false), ca, namespace]).toEqual(["https://[fd00::1]/", "abc", "authority", "tapline"]);
  });

  it("says what it lacks", () => {
    expect(() => podAccess({ env: {}, now: () => 0, folder })).toThrow(/KUBERNETES_SERVICE_HOST/);
    expect(() => podAccess({ env, now: () => 0, folder: join(folder, "nowhere") })).toThrow(/ENOENT/);
  });
});
