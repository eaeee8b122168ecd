import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { nkeys } from "nats";
import { expect, test } from "vitest";
import type { CredentialsFile } from "#bus/access.ts";
import { NatsServer } from "./nats-server.ts";
import { reader, SensorEnd, until } from "./sensor-end.ts";

/** Accepts, and then does what it is told to. */
class Listener implements AsyncDisposable {
  readonly open = new Set<Socket>();
  accepted = 0;
  readonly #server: Server;

  private constructor(greet: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.accepted++;
      this.open.add(socket);
      socket.on("close", () => this.open.delete(socket)).on("error", () => {});
      socket.resume();
      greet(socket);
    });
  }
  static async start(greet: (socket: Socket) => void = () => {}): Promise<Listener> {
    const listener = new Listener(greet);
    await new Promise<void>((resolve) => listener.#server.listen(0, "127.0.0.1", resolve));
    return listener;
  }
  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

test("a server that accepts and never answers delays nothing, is told once, and leaves no socket open", async () => {
  await using silent = await Listener.start();
  const began = performance.now();
  await using end = new SensorEnd(silent.url, { attemptMs: 100 });
  expect(performance.now() - began).toBeLessThan(500);
  expect(end.connection.state.state).toBe("connecting");
  await until("several attempts", () => silent.accepted >= 4);
  expect(end.raised).toEqual(["BUS_SILENT"]);
  expect(end.connection.state).toMatchObject({ state: "connecting", server: undefined });
  expect(end.connection.state.lastError?.code).toBe("BUS_SILENT");
  await end.connection.drain(1000);
  await until("no socket", () => silent.open.size === 0, 1000);
});

test("an attempt under way ends when it is told to", async () => {
  await using silent = await Listener.start();
  const ending = new AbortController();
  await using end = new SensorEnd(silent.url, { attemptMs: 60_000, signal: ending.signal });
  await until("an attempt", () => silent.open.size === 1);
  const began = performance.now();
  ending.abort();
  await end.connection.drain(60_000);
  expect(performance.now() - began).toBeLessThan(1000);
  expect(end.connection.state.state).toBe("closed");
  await until("no socket", () => silent.open.size === 0, 1000);
});

test("something else than NATS is told as such", async () => {
  await using web = await Listener.start((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await using end = new SensorEnd(web.url);
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_FAILED"]);
  expect(end.connection.state.lastError?.message).toContain("unexpected response");
});

test("a server that comes later is found, one that goes is told and found again", async () => {
  await using server = await NatsServer.start();
  await server.down();
  await using end = new SensorEnd(server.url);
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_UNREACHABLE"]);
  await sleep(500); // further attempts
  await server.up();
  await end.connected();
  expect(end.connection.state).toMatchObject({ server: server.address, reconnects: 0 });
  expect(end.told.map(({ state }) => state)).toEqual(["raised", "cleared"]);
  const { since } = end.connection.state;

  await server.down();
  await until("away", () => end.connection.state.state === "away");
  expect(end.connection.session).toBeUndefined();
  expect(end.connection.state.since).toBeGreaterThan(since);
  await server.up();
  await end.connected();
  expect(end.connection.state.reconnects).toBe(1);
  expect(end.conditions.list()).toEqual([]);
  expect(new Set(end.raised)).toEqual(new Set(["BUS_UNREACHABLE", "BUS_LOST"]));
});

test("with several servers the first that answers is taken", async () => {
  await using silent = await Listener.start();
  await using server = await NatsServer.start();
  await using end = new SensorEnd([silent.url, "nats://127.0.0.1:1", server.url], { attemptMs: 200, random: () => 0 });
  await end.connected();
  expect(end.raised.toSorted()).toEqual(["BUS_SILENT", "BUS_UNREACHABLE"]);
  expect(end.conditions.list()).toEqual([]);
});

test("wrong credentials are told, and a corrected file is used at the next attempt", async () => {
  await using server = await NatsServer.start({ config: 'authorization { user: u, password: "a:b c" }' });
  const path = join(server.dir, "user");
  const credentials = { kind: "user", path } as const;
  await using end = new SensorEnd(server.url, { credentials });
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_CREDENTIALS_UNUSABLE"]);
  writeFileSync(path, "u:wrong\n");
  await until("refused", () => end.raised.length > 1);
  expect(end.connection.state.lastError?.code).toBe("BUS_REFUSED");
  await sleep(500);
  expect(end.raised).toEqual(["BUS_CREDENTIALS_UNUSABLE", "BUS_REFUSED"]);
  writeFileSync(path, "u:a:b c\n");
  await end.connected();
  expect(end.conditions.list()).toEqual([]);
});

/** What `nsc` writes: a JWT signed by the issuer's key. */
function jwt(issuer: ReturnType<typeof nkeys.createOperator>, subject: string, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = {
    jti: subject,
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    name: "test",
    sub: subject,
  };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ ...body, nats: { version: 2, ...claims } })}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test.each<[CredentialsFile["kind"], () => { config: string; file: string; wrong: string }]>([
  ["token", () => ({ config: "authorization { token: t0k3n }", file: "t0k3n\n", wrong: "other" })],
  [
    "nkey",
    () => {
      const user = nkeys.createUser();
      return {
        config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
        file: `${text(user.getSeed())}\n`,
        wrong: text(nkeys.createUser().getSeed()),
      };
    },
  ],
  [
    "creds",
    () => {
      const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
      const limits = { subs: -1, data: -1, payload: -1, conn: -1, leaf: -1, imports: -1, exports: -1, wildcards: true };
      const accountJwt = jwt(operator, account.getPublicKey(), { type: "account", limits });
      const creds = (issuer: typeof account): string =>
        `-----BEGIN NATS USER JWT-----\n${jwt(issuer, user.getPublicKey(), { type: "user", subs: -1, data: -1, payload: -1 })}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${text(user.getSeed())}\n------END USER NKEY SEED------\n`;
      return {
        config: `operator: ${jwt(operator, operator.getPublicKey(), { type: "operator" })}\nresolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
        file: creds(account),
        wrong: creds(nkeys.createAccount()),
      };
    },
  ],
])("credentials of kind %s", async (kind, make) => {
  const { config, file, wrong } = make();
  await using server = await NatsServer.start({ config, jetstream: false });
  const path = join(server.dir, "secret");
  writeFileSync(path, "- nothing of the kind -");
  await using end = new SensorEnd(server.url, { credentials: { kind, path } });
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_CREDENTIALS_UNUSABLE"]);
  writeFileSync(path, wrong);
  await until("refused", () => end.raised.includes("BUS_REFUSED"));
  writeFileSync(path, file);
  await end.connected();
});

/** A CA, and certificates signed by it. */
function authority(
  dir: string,
  name = "ca",
): { ca: string; issue: (file: string, san: string) => { cert: string; key: string } } {
  const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...ec, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-days", "2", "-subj", `/CN=${name}`);
  return {
    ca: join(dir, `${name}.pem`),
    issue: (file, san) => {
      openssl("req", ...ec, "-keyout", `${file}.key`, "-out", `${file}.csr`, "-subj", `/CN=${file}`);
      writeFileSync(join(dir, `${file}.ext`), `subjectAltName=${san}\n`);
      const signing = [
        "-CA",
        `${name}.pem`,
        "-CAkey",
        `${name}.key`,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        `${file}.ext`,
      ];
      openssl("x509", "-req", "-in", `${file}.csr`, "-out", `${file}.pem`, ...signing);
      return { cert: join(dir, `${file}.pem`), key: join(dir, `${file}.key`) };
    },
  };
}

test("TLS: the right CA and name connect, anything else is told", async () => {
  await using server = await NatsServer.start();
  const { ca, issue } = authority(server.dir);
  const ours = issue("server", "IP:127.0.0.1,DNS:localhost");
  const strangers = authority(server.dir, "stranger");
  await server.down();
  await server.up(`tls { cert_file: "${ours.cert}", key_file: "${ours.key}" }`);
  const port = server.address.split(":")[1];
  const told = async (url: string, tls?: object): Promise<string> => {
    await using end = new SensorEnd(url, tls ? { tls } : {});
    await until("told", () => end.raised.length > 0 || end.connection.session !== undefined);
    const { lastError } = end.connection.state;
    return end.connection.session ? "connected" : `${lastError?.code} ${lastError?.message}`;
  };
  expect(await told(`tls://127.0.0.1:${port}`, { ca })).toBe("connected");
  expect(await told(`nats://localhost:${port}`, { ca })).toBe("connected");
  expect(await told(`nats://127.0.0.1:${port}`)).toMatch(/^BUS_TLS_FAILED .*(unable to verify|self-signed)/);
  expect(await told(`tls://127.0.0.1:${port}`, { ca: strangers.ca })).toMatch(/^BUS_TLS_FAILED/);
  expect(await told(`tls://127.0.0.1:${port}`, { ca: join(server.dir, "none.pem") })).toMatch(
    /^BUS_TLS_FAILED .*ENOENT/,
  );
  expect(await told(`tls://127.0.0.1:${port}`, { ca, cert: ours.cert, key: strangers.ca })).toMatch(/^BUS_TLS_FAILED/);

  const other = issue("other", "DNS:localhost");
  await server.down();
  await server.up(`tls { cert_file: "${other.cert}", key_file: "${other.key}" }`);
  expect(await told(`tls://127.0.0.1:${port}`, { ca })).toMatch(/^BUS_TLS_FAILED .*127\.0\.0\.1/);
  expect(await told(`tls://localhost:${port}`, { ca })).toBe("connected");

  const client = issue("client", "DNS:client");
  await server.down();
  await server.up(`tls { cert_file: "${ours.cert}", key_file: "${ours.key}", ca_file: "${ca}", verify: true }`);
  expect(await told(`tls://127.0.0.1:${port}`, { ca, cert: client.cert, key: client.key })).toBe("connected");
  expect(await told(`tls://127.0.0.1:${port}`, { ca })).toMatch(/^BUS_TLS_FAILED/);

  await server.down();
  await server.up("");
  expect(await told(`tls://127.0.0.1:${port}`)).toMatch(/^BUS_TLS_FAILED .*offers no TLS/);
});

test("a drain delivers what was published, and ends in time when the server hangs", async () => {
  await using server = await NatsServer.start();
  const session = await reader(server.url);
  let arrived = 0;
  session.subscribe("drained", { callback: () => void arrived++ });
  await session.flush();
  await using end = new SensorEnd(server.url);
  await end.connected();
  for (let i = 0; i < 1000; i++) end.connection.session?.publish("drained", "x".repeat(1000));
  const asked = performance.now();
  await end.connection.drain(5000);
  expect(performance.now() - asked).toBeLessThan(3000);
  expect(end.connection.state.state).toBe("closed");
  await session.flush();
  expect(arrived).toBe(1000);
  await session.close();

  await using hung = new SensorEnd(server.url);
  await hung.connected();
  server.freeze();
  const began = performance.now();
  await hung.connection.drain(300);
  expect(performance.now() - began).toBeLessThan(1500);
  expect(hung.connection.state.state).toBe("closed");
});
