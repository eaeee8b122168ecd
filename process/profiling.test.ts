import { afterEach, expect, test } from "vitest";
import type { Endpoint } from "./endpoint.ts";
import { createLogs } from "./log.ts";
import { startProfiling } from "./profiling.ts";

const lines: string[] = [];
const log = createLogs(
  { level: "info", format: "json" },
  {
    destination: {
      write: (line) => void lines.push(line),
      drained: () => Promise.resolve(),
      dropped: () => 0,
    },
  },
).facility("process");

let endpoint: Endpoint | undefined;
afterEach(() => endpoint?.close(AbortSignal.abort()));
const start = async (): Promise<string> => {
  lines.length = 0;
  endpoint = await startProfiling({ port: 0, log, stages: () => ({ decode: 31.5, flow: 12 }) });
  return endpoint.url;
};
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  for (const end = performance.now() + 10_000; !(await holds()); ) {
    if (performance.now() > end) throw new Error("it never came to hold");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  readonly startTime: number;
  readonly endTime: number;
}

let burnt = 0;
function burnForTheProfile(): void {
  // Few calls, so that the time is this function's own.
  for (const end = performance.now() + 20; performance.now() < end; )
    for (let i = 0; i < 100_000; i++) burnt = (burnt + i * i) % 1_000_003;
}

test("a CPU profile holds what the process did, for as long as was asked", async () => {
  const url = await start();
  const burning = setInterval(burnForTheProfile, 25);
  const response = await fetch(`${url}/debug/cpuprofile?seconds=1`);
  clearInterval(burning);
  expect(response.headers.get("content-disposition")).toBe('attachment; filename="tapline.cpuprofile"');
  const profile = (await response.json()) as CpuProfile;
  const seconds = (profile.endTime - profile.startTime) / 1e6;
  expect(seconds).toBeGreaterThan(0.95);
  expect(seconds).toBeLessThan(3);
  expect(profile.samples.length).toBe(profile.timeDeltas.length);
  const own = new Set(
    profile.nodes.filter(({ callFrame }) => callFrame.functionName === "burnForTheProfile").map(({ id }) => id),
  );
  expect(profile.samples.filter((id) => own.has(id)).length).toBeGreaterThan(profile.samples.length / 5);
  expect(lines.join("")).toContain('"message":"took a profile"');
});

test("one at a time; the second is told so", async () => {
  const url = await start();
  const first = fetch(`${url}/debug/cpuprofile?seconds=1`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const second = await fetch(`${url}/debug/cpuprofile?seconds=1`);
  expect(second.status).toBe(409);
  expect(await second.json()).toMatchObject({ code: "PROFILE_BUSY" });
  expect((await first).status).toBe(200);
  await (await first).body?.cancel();
});

test("who goes away frees the place", async () => {
  const url = await start();
  const gone = new AbortController();
  const first = fetch(`${url}/debug/cpuprofile?seconds=300`, { signal: gone.signal });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await fetch(`${url}/debug/cpuprofile?seconds=1`)).status).toBe(409);
  gone.abort();
  await expect(first).rejects.toThrow("abort");
  await until(async () => (await fetch(`${url}/debug/cpuprofile?seconds=1`)).status === 200);
});

test("closing ends a profile early, with what it has", async () => {
  const url = await start();
  const asked = fetch(`${url}/debug/cpuprofile?seconds=300`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const closed = endpoint?.close(AbortSignal.timeout(5000));
  expect(((await (await asked).json()) as CpuProfile).samples.length).toBeGreaterThan(10);
  await closed;
});

test("a heap snapshot is one that Chrome loads", async () => {
  const url = await start();
  const response = await fetch(`${url}/debug/heapsnapshot`);
  expect(response.headers.get("content-length")).toBeNull();
  const { snapshot, nodes, strings } = (await response.json()) as {
    snapshot: { node_count: number; meta: { node_fields: string[] } };
    nodes: number[];
    strings: string[];
  };
  expect(nodes.length).toBe(snapshot.node_count * snapshot.meta.node_fields.length);
  expect(strings).toContain("burnForTheProfile");
});

test("the engine's stages are given as they are", async () => {
  const url = await start();
  expect(await (await fetch(`${url}/debug/stages`)).json()).toEqual({ decode: 31.5, flow: 12 });
});

test.each(["0", "301", "-1", "1.5", "1e2", "", "x"])("%j seconds are refused", async (seconds) => {
  const response = await fetch(`${await start()}/debug/cpuprofile?seconds=${seconds}`);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    code: "PROFILE_BAD_SECONDS",
    detail: "seconds must be a whole number from 1 to 300",
  });
});

test("it listens on loopback alone", async () => {
  expect(new URL(await start()).hostname).toBe("127.0.0.1");
});
