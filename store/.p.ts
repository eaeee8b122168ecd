import { openForWriting } from "./open.ts";
import { BatchInsert } from "./batch-insert.ts";
import { FlowInsert } from "./flow-insert.ts";
import { flowBatch, gapBatch } from "./made-records.ts";
import fs from "node:fs";
const p = "/tmp/store/w.db";
for (let round = 0; round < 4; round++) {
  for (const s of ["", "-wal", "-shm"]) fs.rmSync(p + s, { force: true });
  const N = 50000;
  const b = flowBatch(
    Array.from({ length: N }, (_, j) => ({
      packet: j * 10 + 1,
      protocol: "macsec" as const,
      firstNs: 1790000000000000000n + BigInt(j),
      lastNs: 1790000009000000000n + BigInt(j),
      packets: 10,
      bytes: 14420,
      lost: j % 5 === 0 ? 1 : 0,
      an: 1,
      sci: [2, 0, 0, j >> 16, (j >> 8) & 255, j & 255, 0, 1],
      source: [10, j >> 16, (j >> 8) & 255, j & 255],
      destination: [10, 0, 0, 1],
    })),
  );
  const g = gapBatch(
    Array.from({ length: 10000 }, (_, k) => ({
      packet: k * 50 + 1,
      first: 5,
      last: 5,
      noticedNs: 1790000000000000000n,
      confirmedNs: 1790000000000000000n,
    })),
  );
  const db = openForWriting(p);
  const bi = new BatchInsert(db);
  bi.begin({ source: "", options: {} });
  const fi = new FlowInsert(db);
  const c0 = process.cpuUsage();
  const t0 = performance.now();
  db.exec("begin immediate");
  fi.insert(1, b.records);
  const t1 = performance.now();
  const c1 = process.cpuUsage(c0);
  db.exec("commit");
  const t2 = performance.now();
  bi.write(g);
  const t3 = performance.now();
  console.log(
    "flows",
    (t1 - t0) | 0,
    "cpu",
    ((c1.user + c1.system) / 1000) | 0,
    "commit",
    (t2 - t1) | 0,
    "gaps",
    (t3 - t2) | 0,
  );
  db.close();
}
