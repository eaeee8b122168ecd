// How the Kubernetes API is reached and who we are there. Enters: a kubeconfig, or a pod's service account. Leaves: an address, certificates, a token
// that is read again as it is rotated. What would need another program or give up verifying the server is refused.
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";

export interface Access {
  readonly server: URL;
  /** PEM */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** the name in the server's certificate, when it is not the address's */
  readonly serverName?: string | undefined;
  readonly namespace?: string | undefined;
  /** `again`: it was refused, do not give it from memory */
  readonly token?: ((again: boolean) => string) | undefined;
}

/** As client-go does: the kubelet renews a token long before it expires. */
const tokenAgeMs = 60_000;

const context = z.object({ cluster: z.string(), user: z.string(), namespace: z.string().optional() });
const cluster = z.object({
  server: z.url({ protocol: /^https?$/ }),
  "certificate-authority": z.string().optional(),
  "certificate-authority-data": z.string().optional(),
  "tls-server-name": z.string().optional(),
  "insecure-skip-tls-verify": z.literal(false, "the server's certificate is always verified here").optional(),
});
const user = z.object({
  "client-certificate": z.string().optional(),
  "client-certificate-data": z.string().optional(),
  "client-key": z.string().optional(),
  "client-key-data": z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  exec: z.undefined("no other program is run to get credentials").optional(),
  "auth-provider": z.undefined("auth providers are not supported").optional(),
});
const kubeconfig = z.object({
  "current-context": z.string(),
  contexts: z.array(z.object({ name: z.string(), context })),
  clusters: z.array(z.object({ name: z.string(), cluster: z.unknown() })),
  users: z.array(z.object({ name: z.string(), user: z.unknown() })),
});

const unusable = (path: string, detail: string, cause?: unknown): TaplineError =>
  new TaplineError("KUBE_CONFIG_UNUSABLE", { path, detail }, { cause });

/** `now`: milliseconds that only grow. */
export function kubeconfigAccess(path: string, now: () => number): Access {
  const config = judged(path, "", kubeconfig, parsed(path));
  const current = config["current-context"];
  const chosen = found(
    path,
    `context ${current}`,
    config.contexts.find(({ name }) => name === current),
  ).context;
  // Only what the current context uses has to be usable.
  const clusterOf = config.clusters.find(({ name }) => name === chosen.cluster);
  const userOf = config.users.find(({ name }) => name === chosen.user);
  const { server, ...there } = judged(
    path,
    `cluster ${chosen.cluster}`,
    cluster,
    found(path, `cluster ${chosen.cluster}`, clusterOf).cluster,
  );
  const { token, tokenFile, ...us } = judged(
    path,
    `user ${chosen.user}`,
    user,
    found(path, `user ${chosen.user}`, userOf).user ?? {},
  );
  const at = (file: string): string => resolve(dirname(path), file);
  const pem = (data: string | undefined, file: string | undefined): string | undefined => {
    if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
    return file === undefined ? undefined : readText(path, at(file));
  };
  return {
    server: new URL(server),
    ca: pem(there["certificate-authority-data"], there["certificate-authority"]),
    cert: pem(us["client-certificate-data"], us["client-certificate"]),
    key: pem(us["client-key-data"], us["client-key"]),
    serverName: there["tls-server-name"],
    namespace: chosen.namespace,
    token: tokenFile !== undefined ? tokenOf(at(tokenFile), now) : token === undefined ? undefined : () => token,
  };
}

export interface PodSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  readonly folder?: string;
}

export function podAccess({ env, now, folder }: PodSurroundings): Access {
  const files = folder ?? "/var/run/secrets/kubernetes.io/serviceaccount";
  const [host, port] = [env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"]];
  if (!host || !port) throw unusable("this pod's environment", "it has no KUBERNETES_SERVICE_HOST and _PORT");
  const token = tokenOf(join(files, "token"), now);
  token(false); // a pod without one is told at once
  return {
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    ca: readText(files, join(files, "ca.crt")),
    namespace: readText(files, join(files, "namespace")).trim(),
    token,
  };
}

function parsed(path: string): unknown {
  try {
    return parse(readText(path, path));
  } catch (cause) {
    if (cause instanceof TaplineError) throw cause;
    throw unusable(path, (cause as Error).message, cause);
  }
}

function judged<T extends z.ZodType>(path: string, within: string, schema: T, value: unknown): z.output<T> {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const faults = error.issues.map(
    ({ path: at, message }) => `${[within, at.join(".")].filter(Boolean).join(", ")}: ${message}`,
  );
  throw unusable(path, faults.slice(0, 5).join("; "));
}

function found<T>(path: string, what: string, value: T | undefined): T {
  if (value === undefined) throw unusable(path, `it has no ${what}`);
  return value;
}

function readText(config: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw unusable(config, (cause as Error).message, cause);
  }
}

function tokenOf(path: string, now: () => number): (again: boolean) => string {
  let token = "";
  let readAt = Number.NEGATIVE_INFINITY;
  return (again) => {
    if (again || now() - readAt > tokenAgeMs) {
      token = readText(path, path).trim();
      readAt = now();
    }
    return token;
  };
}
