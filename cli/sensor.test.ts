import { chmodSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { folder } from "./typed.ts";

const here = folder();
const { tapline, taplineAsNobody, path } = here;
chmodSync(here.path("."), 0o755);
afterAll(() => here[Symbol.dispose]());

const yaml = (): string => `
interfaces: [{name: lo}]
api: {tokenFile: ${path("token")}}
nats: {credentialsFile: ${path("creds")}, tls: {certFile: ${path("cert")}, keyFile: ${path("key")}}}
`;

test("--check says what the file means, and which of its secrets others may read or write", async () => {
  writeFileSync(path("sensor.yaml"), yaml());
  for (const [name, mode] of [["token", 0o644], ["creds", 0o600], ["cert", 0o644], ["key", 0o666]] as const) {
    writeFileSync(path(name), "a secret of more than sixteen characters");
    chmodSync(path(name), mode);
  } // biome-ignore format: one list
  const { code, stdout, stderr } = await tapline(["sensor", "--config", path("sensor.yaml"), "--check"]);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: `${path("sensor.yaml")} is valid: it captures on lo into /var/lib/tapline/sensor.db\n`,
  });
  const told = stderr.split("\n").filter((line) => line.includes("SECRET_EXPOSED"));
  expect(told).toEqual([
    `tapline: ${path("token")} can be read by every user of this machine (SECRET_EXPOSED)`,
    `tapline: ${path("key")} can be read and written by every user of this machine (SECRET_EXPOSED)`,
  ]);
  expect(stderr).toContain(`hint: chmod 0600 ${path("token")}`);
});

test("--check tries the filter: libpcap's words when it does not compile, and no capture is begun", async () => {
  const withFilter = (filter: string): void =>
    writeFileSync(path("sensor.yaml"), `interfaces: [{name: lo}]\ncapture: {filter: "${filter}"}\n`);
  withFilter("udp prot 7");
  const bad = await tapline(["sensor", "--config", path("sensor.yaml"), "--check"]);
  expect(bad).toMatchObject({ code: 1, stdout: "" });
  expect(bad.stderr).toMatch(/the capture filter does not compile: .*syntax error.*FILTER_BPF_INVALID/);
  withFilter("udp port 7 or vlan 5");
  expect(await taplineAsNobody(["sensor", "--config", path("sensor.yaml"), "--check"])).toMatchObject({
    code: 0,
    stderr: "",
  });
});

test("--check says nothing of secrets that are their owner's, or that are not there yet", async () => {
  writeFileSync(path("sensor.yaml"), yaml());
  for (const name of ["token", "creds"]) chmodSync(path(name), 0o640);
  chmodSync(path("key"), 0o600);
  const { code, stderr } = await tapline(["sensor", "--config", path("sensor.yaml"), "--check"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});
