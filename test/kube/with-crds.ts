// An apiserver that has the CRDs and says so: kubectl asks it what kinds there are, and a new one is in that answer a moment after it is Established.
import { join } from "node:path";
import { eventually } from "../e2e/kubectl.ts";
import { ApiserverAlone, type ApiserverOptions } from "./apiserver-alone.ts";

export const crds = join(import.meta.dirname, "../../crds");
export const samples = join(import.meta.dirname, "../../deploy/samples");

export async function startWithCrds(options: ApiserverOptions = {}): Promise<ApiserverAlone> {
  const alone = await ApiserverAlone.start(options);
  await alone.kubectl.run("apply", "--server-side", "-f", crds);
  await known(alone);
  return alone;
}

export async function known({ kubectl }: ApiserverAlone): Promise<void> {
  await kubectl.run("wait", "--for=condition=Established", "crd", "--all");
  const kinds = ["api-resources", "--api-group=tapline.dev", "--cached=false", "-o", "name"];
  await eventually("the kinds are known", 20, async () => {
    const names = (await kubectl.run(...kinds)).trim().split("\n");
    // Their fields are known a moment later still.
    for (const name of names) await kubectl.run("explain", name);
    return names.length === 3;
  });
}
