// A certificate authority and what it signs: made anew at every `up`, gone with `down`. By openssl, for Node signs none.
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";
import type { Instance } from "./instance.ts";
import { apiService, controlAddress, nodeAddress } from "./wiring.ts";

export interface Certificates {
  readonly folder: string;
  /** the path of NAME.crt, NAME.key, … */
  readonly path: (file: string) => string;
}

interface Wanted {
  readonly name: string;
  /** openssl's way: /O=group/CN=user */
  readonly subject: string;
  readonly alternatives?: readonly string[];
}

const days = "3650";

export async function certificates(cluster: Instance, nodes: number, signal: AbortSignal): Promise<Certificates> {
  const folder = join(cluster.folder, "pki");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (file: string): string => join(folder, file);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const openssl = (...args: string[]): Promise<string> => run("openssl", args, { signal });

  const authority = ["-subj", "/CN=tapline-cluster", "-keyout", path("ca.key"), "-out", path("ca.crt")];
  await openssl("req", "-x509", ...key, "-days", days, ...authority);
  const sign = async ({ name, subject, alternatives = [] }: Wanted): Promise<void> => {
    writeFileSync(
      path(`${name}.extensions`),
      `keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n${alternatives.length > 0 ? `subjectAltName=${alternatives.join(",")}\n` : ""}`,
    );
    await openssl("req", ...key, "-subj", subject, "-keyout", path(`${name}.key`), "-out", path(`${name}.request`));
    const from = ["-in", path(`${name}.request`), "-extfile", path(`${name}.extensions`), "-set_serial", serial(name)];
    const by = ["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-days", days];
    await openssl("x509", "-req", ...from, ...by, "-out", path(`${name}.crt`));
  };
  await Promise.all(wanted(nodes).map(sign));

  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(path("service-accounts.key"), privateKey.export({ type: "sec1", format: "pem" }), { mode: 0o600 });
  writeFileSync(path("service-accounts.pub"), publicKey.export({ type: "spki", format: "pem" }));
  return { folder, path };
}

const serial = (name: string): string => `0x${Buffer.from(name).toString("hex").slice(0, 38)}`;

function wanted(nodes: number): Wanted[] {
  const service = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
  ];
  return [
    {
      name: "apiserver",
      subject: "/CN=kube-apiserver",
      alternatives: [
        ...["127.0.0.1", controlAddress, apiService].map((address) => `IP:${address}`),
        ...["localhost", ...service].map((name) => `DNS:${name}`),
      ],
    },
    { name: "admin", subject: "/O=system:masters/CN=admin" },
    { name: "controllers", subject: "/CN=system:kube-controller-manager" },
    { name: "scheduler", subject: "/CN=system:kube-scheduler" },
    { name: "proxy", subject: "/CN=system:kube-proxy" },
    { name: "dns", subject: "/CN=coredns" },
    ...Array.from({ length: nodes }, (_, index) => ({
      name: `node${index + 1}`,
      subject: `/O=system:nodes/CN=system:node:node${index + 1}`,
      alternatives: [`IP:${nodeAddress(index + 1)}`, `DNS:node${index + 1}`],
    })),
  ];
}

/** A kubeconfig that holds all it needs; JSON is YAML too. */
export function writeKubeconfig(pki: Certificates, user: string, server: string, to: string): void {
  const data = (file: string): string => readFileSync(pki.path(file)).toString("base64");
  writeFileSync(
    to,
    JSON.stringify(
      {
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "tapline", cluster: { server, "certificate-authority-data": data("ca.crt") } }],
        users: [
          {
            name: user,
            user: { "client-certificate-data": data(`${user}.crt`), "client-key-data": data(`${user}.key`) },
          },
        ],
        contexts: [{ name: "tapline", context: { cluster: "tapline", user } }],
        "current-context": "tapline",
      },
      null,
      2,
    ),
    { mode: 0o600 },
  );
}
