// Times /api/v1/flows on a run of a million flows while another process writes a run into the same database.
//
//   node api/flows.bench.ts [--flows N] [--rounds N]        prints JSON
//
// Three processes, as in use: this one asks by HTTP, one serves, one writes. Each question is asked `rounds` times.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { flowBatch, madeSummary, type MadeFlow } from "#store/made-records.ts";
import { StoreWriter } from "#store/writer.ts";
import { serve } from "./server.ts";

const t0 = 1_790_000_000_000_000_000n;
const perBatch = 4096;
const kinds = ["macsec", "macsec", "macsec", "esp", "esp", "ah", "tcp", "udp"] as const;

/** Different in every respect that is asked for; no two neighbours alike. */
function made(packet: number): MadeFlow {
  const mix = Math.imul(packet, 0x9e37_79b1) >>> 0;
  const protocol = kinds[mix & 7] ?? "esp";
  const last = t0 + BigInt(packet) * 1_000_000n + BigInt(mix % 1_000_000_000);
  const sequenced = protocol !== "tcp" && protocol !== "udp";
  return {
    packet,
    protocol,
    firstNs: t0 + BigInt(packet) * 1_000_000n,
    lastNs: last,
    packets: 2 + (mix % 5000),
    bytes: (2 + (mix % 5000)) * (64 + (mix % 1400)),
    lost: sequenced && mix % 10 === 0 ? 1 + (mix % 977) : 0,
    spi: mix,
    sci: [2, 0, 0, packet & 255, (packet >> 8) & 255, (packet >> 16) & 255, 0, 1],
    source: [10, mix & 255, (mix >> 8) & 255, (mix >> 16) & 255],
    destination: [192, 168, (mix >> 3) & 255, (mix >> 11) & 255],
  };
}

const batch = (from: number, count: number) => flowBatch(Array.from({ length: count }, (_, i) => made(from + i)));

async function build(path: string, flows: number): Promise<void> {
  const writer = await StoreWriter.open(path);
  await writer.beginRun({ source: "made.pcap", options: {} });
  for (let from = 1; from <= flows; from += perBatch)
    await writer.write(batch(from, Math.min(perBatch, flows - from + 1)));
  await writer.finishRun(madeSummary({ flows }));
  await writer.close();
}

/** As an analysis does: batch after batch, until it is told to stop. */
async function writeOn(path: string): Promise<void> {
  const writer = await StoreWriter.open(path);
  await writer.beginRun({ source: "live.pcap", options: {} });
  const batches = Array.from({ length: 8 }, (_, i) => batch(1 + i * 512, 512));
  process.send?.("ready");
  let stopped = false;
  process.once("disconnect", () => {
    stopped = true;
  });
  for (let round = 0; !stopped; round++) {
    const { kind, records } = batches[round % batches.length] as (typeof batches)[0];
    const copy = records.slice(0);
    const numbers = new Float64Array(copy);
    for (let at = 0, i = 0; at < numbers.length; at += numbers.length / 512, i++) numbers[at] = round * 512 + i + 1;
    await writer.write({ kind, records: copy });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await writer.close();
}

async function serveOn(path: string): Promise<void> {
  const server = await serve({ db: path, port: 0, requestsPerMinute: 1e9 });
  process.send?.(server.url);
  await once(process, "disconnect");
  await server.close();
}

const start = async (role: string, path: string): Promise<{ child: ChildProcess; said: string }> => {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "--role", role, "--db", path], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const [said] = (await once(child, "message")) as [string];
  return { child, said };
};

const filters = {
  none: "",
  protocol: "proto=esp",
  loss: "lost>0",
  "rare loss": "lost>975",
  bytes: "bytes>1M",
  time: "first>=2026-09-21T14:20:00Z last<2026-09-21T14:25:00Z",
  address: "src=10.20.0.0/16",
  "wide address": "src=10.0.0.0/9",
  all: "proto=macsec lost>0 bytes>100k src=10.0.0.0/8 last>=2026-09-21T14:20:00Z",
};
const sorts = ["packets", "-packets", "bytes", "-bytes", "lost", "-lost", "last_seen", "-last_seen"];

const at = (sorted: readonly number[], share: number): number =>
  Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2));

async function measure(flows: number, rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tapline-bench-"));
  const path = join(folder, "flows.db");
  try {
    const built = performance.now();
    await build(path, flows);
    const buildMs = performance.now() - built;
    const started = performance.now();
    const server = await start("serve", path);
    const readyMs = performance.now() - started;
    const writer = await start("write", path);
    // A fresh process has not compiled its loops yet: what its first question took is told apart from the rest.
    const first = performance.now();
    await (await fetch(`${server.said}/api/v1/flows?run=1&limit=1000&filter=lost%3E0`)).text();
    const firstMs = performance.now() - first;
    for (let i = 0; i < 40; i++)
      await (await fetch(`${server.said}/api/v1/flows?run=1&limit=1000&sort=${sorts[i % sorts.length]}`)).text();
    const times: number[] = [];
    const slowest: { question: string; p50: number; p99: number; total: number }[] = [];
    for (const [name, filter] of Object.entries(filters)) {
      for (const sort of sorts) {
        const own: number[] = [];
        let total = 0;
        for (let round = 0; round < rounds; round++) {
          const url = `${server.said}/api/v1/flows?run=1&limit=1000&sort=${sort}&filter=${encodeURIComponent(filter)}`;
          const asked = performance.now();
          const response = await fetch(url);
          const body = await response.text();
          own.push(performance.now() - asked);
          if (round > 0) continue;
          const list = JSON.parse(body) as { indexed: boolean; total: number };
          if (!response.ok || !list.indexed) throw new Error(`${url}: ${body.slice(0, 300)}`);
          total = list.total;
        }
        times.push(...own);
        own.sort((a, b) => a - b);
        slowest.push({ question: `${name} by ${sort}`, p50: at(own, 0.5), p99: at(own, 0.99), total });
      }
    }
    const newest = (await (await fetch(`${server.said}/api/v1/stats/summary`)).json()) as { total_flows: number };
    const rssMiB = Math.round(
      Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024,
    );
    for (const { child } of [writer, server]) {
      child.disconnect();
      await once(child, "exit");
    }
    times.sort((a, b) => a - b);
    slowest.sort((a, b) => b.p99 - a.p99);
    const result = {
      flows, requests: times.length, p50_ms: at(times, 0.5), p99_ms: at(times, 0.99), max_ms: at(times, 1), target_p99_ms: 50,
      build_s: Number((buildMs / 1000).toFixed(1)), database_mib: Math.round(statSync(path).size / 2 ** 20), first_ms: Number(firstMs.toFixed(1)),
      serve_ready_ms: Math.round(readyMs),
      server_anonymous_mib: rssMiB, flows_written_meanwhile: newest.total_flows, slowest: slowest.slice(0, 6),
    }; // biome-ignore format: one result
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    role: { type: "string", default: "measure" },
    db: { type: "string", default: "" },
    flows: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "20" },
  },
});
if (values.role === "serve") await serveOn(values.db);
else if (values.role === "write") await writeOn(values.db);
else await measure(Number(values.flows), Number(values.rounds));
