// tapline tune as a person types it, on a veth pair in namespaces: shown, applied, taken back, refused; ethtool looks on.
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Network } from "./network.ts";

const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

class Bench implements AsyncDisposable {
  readonly network: Network;
  readonly #folder = mkdtempSync(join(tmpdir(), "tapline-tune-"));
  readonly state = join(this.#folder, "kept", "far.json");
  private constructor(network: Network) {
    this.network = network;
  }
  /** An interface that merges, which a veth does not of itself. */
  static async merging(): Promise<Bench> {
    const bench = new Bench(await Network.create());
    await bench.ethtool("-K", bench.network.far, "gro", "on", "rx-gro-list", "on");
    return bench;
  }
  ethtool(...args: string[]): Promise<string> {
    return this.network.in(this.network.receiver, "ethtool", ...args);
  }
  async features(): Promise<Record<string, string | undefined>> {
    const text = await this.ethtool("-k", this.network.far);
    const value = (name: string): string | undefined => new RegExp(`^${name}: (\\w+)`, "m").exec(text)?.[1];
    return { gro: value("generic-receive-offload"), list: value("rx-gro-list") };
  }
  async tune(args: readonly string[], ...launch: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const [command = tapline, ...rest] = [...launch, tapline, "tune", this.network.far, "--state", this.state, ...args];
    try {
      return { code: 0, stdout: await this.network.in(this.network.receiver, command, ...rest), stderr: "" };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, stdout, stderr };
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    await this.network[Symbol.asyncDispose]();
  }
}

interface Told {
  readonly items: readonly { readonly what: string; readonly state: string; readonly reason: string }[];
  readonly outcomes?: readonly { readonly key: string; readonly result: string; readonly why?: string }[];
}

test("shown: the plan, its reasons, the same by hand; nothing is changed and nothing is written", async () => {
  await using bench = await Bench.merging();
  const { code, stdout } = await bench.tune([]);
  expect(code).toBe(0);
  expect(stdout).toContain("ethtool -K far gro off");
  expect(stdout).toContain("ethtool -K <the other end> tso off gso off tx-udp-segmentation off");
  expect(stdout).toMatch(/^– {2}receive ring +– +–$/m);
  expect(stdout).toContain("receive ring: the driver has no rings to size (Operation not supported)");
  expect(stdout).toContain("Nothing was changed.");
  expect(await bench.features()).toEqual({ gro: "on", list: "on" });
  expect(existsSync(bench.state)).toBe(false);

  const told = JSON.parse((await bench.tune(["--json"])).stdout) as Told;
  const states = Object.fromEntries(told.items.map(({ what, state }) => [what, state]));
  expect(states).toMatchObject({
    "receive ring": "not applicable",
    "generic receive offload": "to change",
    "receive offload by lists": "to change",
    "large receive offload": "as wanted",
    "receive checksums": "as wanted",
    interrupts: "not applicable",
  });
});

test("applied, applied again, taken back, taken back again", async () => {
  await using bench = await Bench.merging();
  const applied = await bench.tune(["--apply"]);
  expect(applied.code).toBe(0);
  expect(applied.stdout.indexOf("To change, and why")).toBeLessThan(applied.stdout.indexOf("✓ set"));
  expect(await bench.features()).toEqual({ gro: "off", list: "off" });
  expect(JSON.parse(readFileSync(bench.state, "utf8"))).toEqual({
    version: 1,
    interface: "far",
    changes: [
      { key: "feature.rx-gro", before: true, set: false },
      { key: "feature.rx-gro-list", before: true, set: false },
    ],
  });

  const again = await bench.tune(["--apply"]);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("Nothing to change.") as string });
  // What was there at first is still what comes back.
  const restored = JSON.parse((await bench.tune(["--restore", "--json"])).stdout) as Told;
  expect(restored.outcomes?.map(({ key, result }) => [key, result])).toEqual([
    ["feature.rx-gro-list", "restored"],
    ["feature.rx-gro", "restored"],
  ]);
  expect(await bench.features()).toEqual({ gro: "on", list: "on" });
  expect(existsSync(bench.state)).toBe(false);
  expect((await bench.tune(["--restore"])).stdout).toContain("Nothing to restore");
});

test("what somebody put back in between is said, and stays restorable after a second apply", async () => {
  await using bench = await Bench.merging();
  await bench.tune(["--apply"]);
  await bench.ethtool("-K", "far", "gro", "on");
  const restored = await bench.tune(["--restore"]);
  expect(restored.code).toBe(0);
  expect(restored.stdout).toMatch(/^generic receive offload +on +on +– was already so$/m);

  await bench.tune(["--apply"]);
  await bench.ethtool("-K", "far", "gro", "on");
  await bench.tune(["--apply"]);
  await bench.tune(["--restore"]);
  expect(await bench.features()).toEqual({ gro: "on", list: "on" });
});

test("without CAP_NET_ADMIN each setting that could not be made is named, and nothing is remembered of it", async () => {
  await using bench = await Bench.merging();
  const refused = await bench.tune(["--apply"], "setpriv", "--bounding-set=-net_admin");
  expect(refused.code).toBe(1);
  expect(refused.stdout.replace(/\s+/g, " ")).toContain(
    "generic receive offload: changing far needs CAP_NET_ADMIN (ETHTOOL_NOT_PERMITTED) receive offload by lists: changing",
  );
  expect(await bench.features()).toEqual({ gro: "on", list: "on" });
  expect(existsSync(bench.state)).toBe(false);
  expect(refused.stdout).not.toContain("To take it back");

  // And a restore that is refused can be made up for.
  await bench.tune(["--apply"]);
  expect((await bench.tune(["--restore"], "setpriv", "--bounding-set=-net_admin")).code).toBe(1);
  expect((await bench.tune(["--restore"])).code).toBe(0);
  expect(await bench.features()).toEqual({ gro: "on", list: "on" });
});

test("values that could not be kept are not touched; a damaged file, and one of another interface, are refused", async () => {
  await using bench = await Bench.merging();
  const nowhere = await bench.tune(["--apply", "--state", "/proc/tapline.json"]);
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toContain("(FILE_WRITE_FAILED)");
  await bench.tune(["--apply"]);
  const good = readFileSync(bench.state, "utf8");
  for (const text of ["{", "{}", good.replace('"far"', '"near"'), good.replace("true", '{"a":1}'), "[]", ""]) {
    writeFileSync(bench.state, text);
    for (const option of ["--apply", "--restore"]) {
      const refused = await bench.tune([option]);
      if (option === "--apply" && refused.code === 0) expect(refused.stdout).toContain("Nothing to change.");
      else expect(refused.stderr, text).toContain("(TUNE_STATE_UNREADABLE)");
    }
  }
  expect(await bench.features()).toEqual({ gro: "off", list: "off" });
});

test("an interface that carries an address is warned of, by name", async () => {
  await using bench = await Bench.merging();
  expect((await bench.tune([])).stdout).not.toContain("warning:");
  await bench.network.in(bench.network.receiver, "ip", "addr", "add", "10.9.1.1/24", "dev", "far");
  const { stdout } = await bench.tune([]);
  expect(stdout).toContain("warning: far carries 10.9.1.1: without receive offload");
  expect(stdout).not.toContain("SSH");
});
