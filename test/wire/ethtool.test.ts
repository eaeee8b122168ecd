// What the engine reads and sets through netlink is what the program ethtool says, on a veth pair and on whatever NIC this
// machine has. The machine's own NIC is only read.
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Ethtool, Part } from "#native/engine.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const engine = new URL("../../native/engine.ts", import.meta.url).pathname;

type In = (command: string, ...args: string[]) => Promise<string>;
const here: In = async (command, ...args) => (await run(command, args)).stdout;

/** Runs a call of the engine where `within` runs things; a refusal comes back as its code and detail. */
async function ask<T>(within: In, call: string): Promise<T> {
  const script = `import { engine } from ${JSON.stringify(engine)};
    try { console.log(JSON.stringify(engine().${call} ?? null)); }
    catch ({ code, detail }) { console.log(JSON.stringify({ code, detail })); }`;
  return JSON.parse(await within(node, "--input-type=module", "-e", script)) as T;
}

/** Lines of "name: value" after the line that begins a section; n/a ones are left out. */
function values(text: string, section = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.slice(text.indexOf(section)).split("\n")) {
    const [, name, value] = /^\s*([^:]+):\s+(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && value !== "n/a" && !found.has(name)) found.set(name, value.trim());
  }
  return found;
}

/** ethtool's own names for what the kernel calls otherwise; the sums of several features have none. */
const kernelNames: Readonly<Record<string, string | undefined>> = {
  "rx-checksumming": "rx-checksum",
  "generic-segmentation-offload": "tx-generic-segmentation",
  "generic-receive-offload": "rx-gro",
  "large-receive-offload": "rx-lro",
  "rx-vlan-offload": "rx-vlan-hw-parse",
  "tx-vlan-offload": "tx-vlan-hw-insert",
  "ntuple-filters": "rx-ntuple-filter",
  "receive-hashing": "rx-hashing",
};
const sums = new Set(["tx-checksumming", "scatter-gather", "tcp-segmentation-offload"]);

function expectFeatures(part: Ethtool["features"], text: string): void {
  if (!("value" in part)) throw new Error(part.notSupported);
  const said = [...values(text, "\n")].filter(([name]) => !sums.has(name));
  const read = Object.entries(part.value).map(([name, { active, changeable }]) => [
    name,
    `${active ? "on" : "off"}${changeable ? "" : " [fixed]"}`,
  ]);
  // ethtool adds what was asked for and not granted
  const plain = said.map(([name, value]) => [kernelNames[name] ?? name, value.replace(/ \[requested \w+\]/, "")]);
  expect(Object.fromEntries(read)).toEqual(Object.fromEntries(plain));
}

/** `names`: ours and ethtool's, of one section of its output; on/off are booleans. */
async function expectSettings(
  part: Part<object>,
  within: In,
  [option, name]: readonly [string, string],
  sections: readonly (readonly [string, Readonly<Record<string, string>>])[],
): Promise<void> {
  const text = await within("ethtool", option, name).catch((error: { stderr: string }) => error.stderr);
  if (!("value" in part)) {
    expect(text).toContain(part.notSupported);
    return;
  }
  const said: Record<string, number | boolean> = {};
  for (const [section, names] of sections) {
    const found = values(text, section);
    for (const [ours, theirs] of Object.entries(names)) {
      const value = found.get(theirs);
      if (value !== undefined) said[ours] = /^\d+$/.test(value) ? Number(value) : value.startsWith("on");
    }
  }
  const adaptive = /^Adaptive RX: (\S+)\s+TX: (\S+)$/m.exec(text);
  if (adaptive?.[1] !== undefined && adaptive[1] !== "n/a") said["adaptiveRx"] = adaptive[1] === "on";
  if (adaptive?.[2] !== undefined && adaptive[2] !== "n/a") said["adaptiveTx"] = adaptive[2] === "on";
  expect(part.value).toEqual(said);
}

async function agree(within: In, name: string): Promise<Ethtool> {
  const read = await ask<Ethtool>(within, `ethtool("${name}")`);
  expectFeatures(read.features, await within("ethtool", "-k", name));
  const [most, current] = ["Pre-set maximums:", "Current hardware settings:"];
  await expectSettings(read.rings, within, ["-g", name], [
    [most, { rxMax: "RX", txMax: "TX" }],
    [current, { rx: "RX", tx: "TX" }],
  ]); // biome-ignore format: a table
  await expectSettings(read.channels, within, ["-l", name], [
    [most, { rxMax: "RX", txMax: "TX", combinedMax: "Combined" }],
    [current, { rx: "RX", tx: "TX", combined: "Combined" }],
  ]); // biome-ignore format: a table
  await expectSettings(read.coalesce, within, ["-c", name], [
    ["", { rxUsecs: "rx-usecs", rxFrames: "rx-frames", txUsecs: "tx-usecs", txFrames: "tx-frames" }],
  ]); // biome-ignore format: a table
  const driver = values(await within("ethtool", "-i", name));
  expect(read.driver).toEqual({
    value: {
      name: driver.get("driver"),
      version: driver.get("version"),
      firmware: driver.get("firmware-version") ?? "",
      bus: driver.get("bus-info") ?? "",
    },
  });
  const counters = values(await within("ethtool", "-S", name), "NIC statistics:");
  expect("value" in read.statistics && Object.keys(read.statistics.value)).toEqual([...counters.keys()]);
  return read;
}

test("a veth: its features, channels and counters, and what it has not, in the kernel's words", async () => {
  await using network = await Network.create();
  const within: In = (command, ...args) => network.in(network.receiver, command, ...args);
  const read = await agree(within, network.far);
  expect(read.rings).toEqual({ notSupported: "Operation not supported" });
  const peer = (await network.in(network.sender, "cat", `/sys/class/net/${network.near}/ifindex`)).trim();
  expect(read.statistics).toMatchObject({ value: { peer_ifindex: Number(peer) } });
});

test("features are set and unset, and read back by ethtool; what is fixed stays as it is", async () => {
  await using network = await Network.create();
  const within: In = (command, ...args) => network.in(network.receiver, command, ...args);
  for (const on of [true, false]) {
    const wanted = { "rx-gro": on, "tx-tcp-segmentation": !on, "tx-udp-segmentation": on, "rx-checksum": !on };
    expect(await ask(within, `setFeatures("${network.far}", ${JSON.stringify(wanted)})`)).toBeNull();
    const said = values(await within("ethtool", "-k", network.far), "\n");
    expect(said.get("generic-receive-offload")).toBe(on ? "on" : "off");
    expect(said.get("tx-tcp-segmentation")).toBe(on ? "off" : "on");
    expect(said.get("tx-udp-segmentation")).toBe(on ? "on" : "off");
    expect(said.get("rx-checksumming")).toBe(on ? "off" : "on");
    await agree(within, network.far);
  }
  await ask(within, `setFeatures("${network.far}", { "rx-lro": true })`);
  expect(values(await within("ethtool", "-k", network.far), "\n").get("large-receive-offload")).toContain("off");
});

test("what the kernel refuses comes with its words", async () => {
  await using network = await Network.create();
  const within: In = (command, ...args) => network.in(network.receiver, command, ...args);
  const far = JSON.stringify(network.far);
  expect(await ask(within, `setFeatures(${far}, { "rx-grow": true })`)).toEqual({
    code: "ETHTOOL_FAILED",
    detail: expect.stringMatching(/^bit name not found \(/) as string,
  });
  expect(await ask(within, `setRings(${far}, { rx: 512 })`)).toMatchObject({ code: "ETHTOOL_FAILED" });
  expect(await ask(within, `setCoalesce(${far}, { rxUsecs: 5 })`)).toMatchObject({ code: "ETHTOOL_FAILED" });
  for (const name of ["nowhere", "", "../etc/passwd", "a-name-longer-than-an-interface-may-have"])
    expect(await ask(within, `ethtool(${JSON.stringify(name)})`), name).toMatchObject({ code: "INTERFACE_NOT_FOUND" });
  const unprivileged: In = (...args) => within("setpriv", "--bounding-set=-net_admin", ...args);
  expect(await ask(unprivileged, `setFeatures(${far}, { "rx-gro": true })`)).toMatchObject({
    code: "ETHTOOL_NOT_PERMITTED",
  });
  expect(await ask(unprivileged, `ethtool(${far})`)).toMatchObject({ driver: { value: { name: "veth" } } });
});

test("each interface of this machine with a device behind it reads as ethtool says, and is left as it is", async () => {
  const net = "/sys/class/net";
  for (const name of readdirSync(net).filter((one) => existsSync(`${net}/${one}/device`))) await agree(here, name);
  // The loopback interface is everywhere: no driver, and no word of an error.
  expect(await ask(here, 'ethtool("lo")')).toMatchObject({
    driver: { notSupported: "Operation not supported" },
    features: { value: { loopback: { active: true, changeable: false } } },
  });
});
