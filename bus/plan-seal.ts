// Whether a plan is what the operator made, for this node: its bytes against the notice's digest, and the notice against the operator's key.
// Enters: a notice and bytes of strangers. Leaves: the plan, or why it is refused.
import { createHash, type KeyObject, verify } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { TaplineError } from "#domain/errors.ts";
import { planClaim, planNotice, type PlanNotice, planVersion, type RelayPlan, relayPlan } from "#domain/relay-plan.ts";
import type { RelayPlace } from "#domain/subjects.ts";

/** Of the JSON; ten thousand rules take some four MiB. */
const mostPlanBytes = 64 * 2 ** 20;

export const planRefused = (generation: number | string, detail: string, cause?: unknown): TaplineError =>
  new TaplineError("RELAY_PLAN_REFUSED", { generation, detail }, { cause });

/** What runs, and is acknowledged. */
export interface RunningPlan {
  readonly generation: number;
  readonly digest: string | null;
}

/** The notice, when it is one to follow; undefined when that plan runs already. Throws RELAY_PLAN_REFUSED. */
export function readNotice(
  data: Uint8Array,
  place: RelayPlace,
  key: KeyObject,
  running: RunningPlan,
): PlanNotice | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (cause) {
    throw planRefused("?", "its notice is not JSON", cause);
  }
  const { data: notice, error } = planNotice.safeParse(value);
  if (!notice) throw planRefused("?", `its notice lacks ${error?.issues[0]?.path.join(".") || "its form"}`);
  const { v, generation, digest } = notice;
  if (v > planVersion)
    throw planRefused(generation, `it is of a newer version (${v}; this relay understands ${planVersion})`);
  const claim = Buffer.from(planClaim(place.fleet, place.node, notice));
  if (!verify(null, claim, key, Buffer.from(notice.signature, "base64")))
    throw planRefused(generation, `it is not signed by the operator for ${place.node} of ${place.fleet}`);
  if (generation === running.generation && digest === running.digest) return undefined;
  if (generation === running.generation) throw planRefused(generation, "another plan of this generation runs");
  if (generation < running.generation)
    throw planRefused(generation, `it is older than the one that runs (${running.generation})`);
  return notice;
}

export function openPlan(data: Uint8Array, notice: PlanNotice, place: RelayPlace): RelayPlan {
  const { generation, digest } = notice;
  if (createHash("sha256").update(data).digest("hex") !== digest)
    throw planRefused(generation, "it is not what was signed");
  let value: unknown;
  try {
    value = JSON.parse(gunzipSync(data, { maxOutputLength: mostPlanBytes }).toString("utf8"));
  } catch (cause) {
    throw planRefused(generation, `it cannot be unpacked: ${(cause as Error).message}`, cause);
  }
  const { data: plan, error } = relayPlan.safeParse(value);
  if (!plan) {
    const [issue] = error?.issues ?? [];
    throw planRefused(generation, `${issue?.path.join(".") || "the plan"}: ${issue?.message ?? "not valid"}`);
  }
  if (plan.generation !== generation || plan.node !== place.node || plan.fleet !== place.fleet)
    throw planRefused(generation, `it is plan ${plan.generation} for ${plan.node} of ${plan.fleet}`);
  return plan;
}
