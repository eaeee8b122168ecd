// `down`: ends every process of the cluster, and with the last one its namespaces, mounts and links end by themselves. Works after any crash.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sweep } from "./cgroups.ts";
import { type Instance, logFolder } from "./instance.ts";

export async function down(cluster: Instance): Promise<void> {
  await sweep(cluster.name, cluster.cgroup);
  if (!existsSync(cluster.folder)) return;
  for (const entry of readdirSync(cluster.folder)) {
    const path = join(cluster.folder, entry);
    // What happened may be wanted after a failure; the next `up` removes it.
    if (path !== logFolder(cluster)) rmSync(path, { recursive: true, force: true });
  }
}
