// `helm test`: has any sensor of this fleet counted a packet? Reads reports as the console does.
// Enters: NATS_URL, FLEET, LOGIN (kind of the login's file), SECONDS, and /nats/login and /nats/ca. Leaves: one line, and 0 when a packet was counted.
const { readFileSync, existsSync } = require("node:fs");
const {
  connect,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} = require("nats");

const { NATS_URL = "", FLEET, LOGIN, SECONDS, MOUNT = "/nats" } = process.env;
const text = readFileSync(`${MOUNT}/login/${LOGIN}`, "utf8").trim();
const bytes = new TextEncoder().encode(text);
const authenticators = {
  user: () => usernamePasswordAuthenticator(text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)),
  creds: () => credsAuthenticator(bytes),
  token: () => tokenAuthenticator(text),
  nkey: () => nkeyAuthenticator(bytes),
};

async function main() {
  const ca = `${MOUNT}/ca/ca.crt`;
  const session = await connect({
    servers: NATS_URL.split(","),
    authenticator: authenticators[LOGIN](),
    inboxPrefix: "_INBOX.console",
    ...(existsSync(ca) ? { tls: { ca: readFileSync(ca, "utf8") } } : {}),
  });
  const reports = session.subscribe(`tapline.${FLEET}.report.sensor.>`);
  const end = setTimeout(() => reports.unsubscribe(), Number(SECONDS) * 1000);
  const nodes = new Set();
  for await (const message of reports) {
    const { node, pool, interfaces } = message.json();
    nodes.add(node);
    const packets = interfaces.reduce((sum, { delivered }) => sum + delivered, 0);
    if (packets === 0) continue;
    clearTimeout(end);
    console.log(`ok: the sensor of pool ${pool} on ${node} counted ${packets} packets`);
    return session.close();
  }
  process.exitCode = 1;
  if (nodes.size === 0)
    console.error(
      `no sensor of fleet ${FLEET} reported within ${SECONDS} s: is there a SensorPool? kubectl get sensorpools`,
    );
  else
    console.error(
      `${[...nodes].join(", ")} reported, and no packet was counted within ${SECONDS} s: is there traffic on the interfaces of the SensorPool?`,
    );
  await session.close();
}

main().catch((error) => {
  console.error(`NATS at ${NATS_URL}: ${error.message}`);
  process.exitCode = 1;
});
