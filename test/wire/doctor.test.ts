// tapline doctor where rights are missing, on the real kernel: each missing one is named, with its remedy.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Check } from "#host/check.ts";
import { Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

interface Report {
  readonly code: number;
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly of: (name: string) => Check | undefined;
}

async function doctor(...launch: string[]): Promise<Report> {
  // env runs what follows, with or without something before it
  const ended = await run("env", [...launch, tapline, "doctor", "--json"], {
    env: { ...process.env, NODE_COMPILE_CACHE: "" },
  }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
  const told = JSON.parse(ended.stdout) as { ok: boolean; checks: Check[] };
  return { ...told, code: ended.code, of: (name) => told.checks.find((one) => one.name === name) };
}

const capabilities = ["CAP_NET_RAW", "CAP_BPF", "CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_PERFMON"];
const dropped = (...names: string[]): string[] => [
  "setpriv",
  `--bounding-set=${names.map((name) => `-${name}`).join(",")}`,
];

test("with all rights every step of a capture works, and none is said to be missing", async () => {
  const { code, ok, of, checks } = await doctor();
  expect(code).toBe(0);
  expect(ok).toBe(true);
  for (const name of [
    ...capabilities,
    "packet socket",
    "packet ring",
    "fanout",
    "own frames left out",
    "fanout program",
    "relay engines",
    "relay losses",
    "tcx",
  ])
    expect(of(name), name).toMatchObject({ verdict: "ok" });
  for (const { verdict, remedy } of checks)
    expect(remedy !== undefined).toBe(verdict === "warning" || verdict === "missing");
});

test.each([
  ["CAP_NET_RAW", ["net_raw"], "missing", "packet socket", "Operation not permitted"],
  ["CAP_BPF", ["bpf", "sys_admin"], "warning", "fanout program", "Operation not permitted"],
  ["CAP_NET_ADMIN", ["net_admin"], "warning", "relay engines", "user space (CAP_NET_ADMIN not held)"],
  ["CAP_PERFMON", ["perfmon", "sys_admin"], "warning", "relay engines", "CAP_PERFMON"],
])("without %s it is named, and so is what no longer works", async (name, caps, verdict, broken, words) => {
  const { code, of } = await doctor(...dropped(...caps));
  expect(of(name)).toMatchObject({
    verdict,
    found: "not held",
    remedy: expect.stringContaining("setcap cap_net_raw,") as string,
  });
  for (const other of capabilities.filter((one) => one !== name))
    expect(of(other), other).toMatchObject({ verdict: "ok" });
  if (broken !== undefined)
    expect(of(broken)).toMatchObject({ verdict, found: expect.stringContaining(words) as string });
  expect(code).toBe(verdict === "missing" ? 1 : 0);
});

test("without CAP_IPC_LOCK a low limit on locked memory is named, a high one will do", async () => {
  const low = await doctor("prlimit", "--memlock=8388608", ...dropped("ipc_lock"));
  expect(low.of("CAP_IPC_LOCK")).toMatchObject({ verdict: "warning", found: "not held" });
  expect(low.of("locked ring")).toMatchObject({ verdict: "warning" });
  expect(low.of("RLIMIT_MEMLOCK")).toMatchObject({ verdict: "warning", found: "8 MiB" });
  expect(low.code).toBe(0);
});

test("a user without any right: all are named one by one, what was not tried says why, and the exit code is 1", async () => {
  const { code, ok, of } = await doctor("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--");
  expect(code).toBe(1);
  expect(ok).toBe(false);
  for (const name of capabilities) expect(of(name)?.found, name).toBe("not held");
  expect(of("CAP_NET_RAW")?.verdict).toBe("missing");
  expect(of("packet ring")).toMatchObject({
    verdict: "not applicable",
    found: "not tried: no packet socket",
  });
  expect(of("interrupts")).toMatchObject({ verdict: "warning", found: "cannot be moved (EACCES)" });
  expect(of("store")?.verdict).toBe("warning");
});

test("in a namespace: the loopback interface down, an interface named, one that is not there", async () => {
  await using network = await Network.create();
  const inside = async (...args: string[]): Promise<readonly Check[]> => {
    const text = await network
      .in(network.receiver, tapline, "doctor", "--json", ...args)
      .catch((error: { stdout: string }) => error.stdout);
    return (JSON.parse(text) as { checks: Check[] }).checks;
  };
  const of = (checks: readonly Check[], name: string): Check | undefined => checks.find((one) => one.name === name);

  expect(of(await inside(), "own frames left out")).toMatchObject({
    verdict: "not applicable",
    found: "not tried: the loopback interface is down",
  });
  await network.in(network.receiver, "ip", "link", "set", "lo", "up");
  expect(of(await inside(), "own frames left out")).toMatchObject({ verdict: "ok", found: "works" });

  await network.in(network.receiver, "ethtool", "-K", network.far, "gro", "on");
  await network.in(network.receiver, "sysctl", "-qw", `net.ipv4.conf.${network.far}.rp_filter=1`);
  const named = await inside(network.far, "nowhere");
  expect(of(named, "settings of far")).toMatchObject({
    verdict: "warning",
    found: "generic receive offload on → off",
    remedy: "tapline tune far, then: sudo tapline tune far --apply",
  });
  expect(of(named, "rp_filter of far")).toMatchObject({ verdict: "warning", found: "strict" });
  expect(of(named, "interface nowhere")).toMatchObject({ verdict: "missing" });
});

test("in a namespace: what an interface can do for a relay, whose programs are on it, and where to pin", async () => {
  using rig = new RelayRig({ hops: 1 });
  const inside = (): ((name: string) => Check | undefined) => {
    const { checks } = JSON.parse(rig.said("b", tapline, "doctor", "--json", "b0")) as { checks: Check[] };
    return (name) => checks.find((one) => one.name === name);
  };
  const bare = inside();
  expect(bare("XDP of b0")).toMatchObject({ verdict: "ok", found: "in the driver (veth)" });
  expect(bare("XDP to b0")).toMatchObject({ verdict: "warning", found: "takes no frames", remedy: expect.stringContaining("gro on") as string }); // biome-ignore format: one row
  expect(bare("programs on b0")).toMatchObject({ verdict: "ok", found: "no others" });
  expect(bare("MTU of b0")).toMatchObject({ verdict: "warning", found: "1500 bytes: through a tunnel 1440" });

  rig.said("a", "ethtool", "-K", "a1", "gro", "on");
  for (const [node, name] of [["a", "a1"], ["b", "b0"]] as const) rig.said(node, "ip", "link", "set", name, "mtu", "1600"); // biome-ignore format: one list
  await Sink.start(rig, { lanes: [{ address: "239.1.1.9" }], numbers: 64, how: "tc" }, "b");
  const ready = inside();
  expect(ready("XDP to b0")).toMatchObject({ verdict: "ok", found: "takes frames" });
  expect(ready("programs on b0")).toMatchObject({ verdict: "warning", found: "somebody else's: tc" });
  expect(ready("MTU of b0")).toMatchObject({ verdict: "ok" });
  await Sink.start(rig, { lanes: [{ address: "239.1.1.9" }], numbers: 64 }, "b");
  expect(inside()("programs on b0")).toMatchObject({ verdict: "warning", found: "somebody else's: XDP, tc" });
});

test("a BPF file system that may not be written to is told, with who may", async () => {
  const { of } = await doctor("unshare", "--mount", "sh", "-c", 'mount -t bpf -o mode=0555 none /sys/fs/bpf && exec setpriv --reuid=65534 --clear-groups -- "$@"', "sh"); // biome-ignore format: one command
  expect(of("bpffs")).toMatchObject({ verdict: "warning", found: "/sys/fs/bpf: not writable (EACCES)" });
  const writable = await doctor("unshare", "--mount", "sh", "-c", 'mount -t bpf none /sys/fs/bpf && exec "$@"', "sh");
  expect(writable.of("bpffs")).toMatchObject({ verdict: "ok", found: "/sys/fs/bpf: writable" });
});
