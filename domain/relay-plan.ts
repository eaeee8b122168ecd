// What the fleet tells a relay to do: all rules of one node under one generation, signed. The plan itself is gzip JSON in an object store; a key per
// node says which is wanted. A node without a key has no plan, which is not an empty plan: what runs goes on.
import { z } from "zod";

export const planVersion = 1;

const generation = z.int().min(1).describe("a higher one replaces a lower one; nothing else does");

export const relayPlan = z.strictObject({
  v: z.literal(planVersion),
  fleet: z.string().max(200),
  node: z.string().max(253),
  generation,
  made: z.string().max(64).describe("when, ISO 8601 in UTC"),
  rules: z.array(z.unknown()).describe("as in a file of rules; checked as those are"),
});
export type RelayPlan = z.output<typeof relayPlan>;

/** The value of a node's key. Unknown fields are ignored, so that an older relay can tell that it does not understand a newer plan. */
export const planNotice = z.object({
  v: z.int().min(1).describe("version of the plan's form"),
  generation,
  object: z.string().min(1).max(1024).describe("its name in the object store"),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe("SHA-256 of the object's bytes"),
  signature: z.string().max(128).describe("Ed25519 over planClaim, in base64"),
});
export type PlanNotice = z.output<typeof planNotice>;

/** What is signed: a plan for another node, fleet or generation does not pass. */
export const planClaim = (
  fleet: string,
  node: string,
  { v, generation: of, digest }: Pick<PlanNotice, "v" | "generation" | "digest">,
): string => `tapline relay plan\nv ${v}\nfleet ${fleet}\nnode ${node}\ngeneration ${of}\nsha256 ${digest}\n`;

/** What became of plans on a node. */
export const planStates = ["none", "waiting", "applied", "refused"] as const;
