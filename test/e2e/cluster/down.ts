// `down`: ends every process of the cluster, and with the last one its namespaces, mounts and links end by themselves. Works after any crash.
import { existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { sweep } from "./cgroups.ts";
import { type Instance, logFolder } from "./instance.ts";

export async function down(cluster: Instance): Promise<void> {
  await sweep(cluster.name, cluster.cgroup);
  if (!existsSync(cluster.folder)) return;
  // What happened may be wanted after a failure; the next `up` removes it. Images are many files: each node's at the same time.
  const machines = join(cluster.folder, "machines");
  await Promise.all(entries(machines).map((path) => rm(path, { recursive: true, force: true })));
  for (const path of entries(cluster.folder))
    if (path !== logFolder(cluster)) await rm(path, { recursive: true, force: true });
}

const entries = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
