// What the three kinds of object have in common: group, version, conditions, selectors. The CRDs in crds/ are made from here.
import { z } from "zod";
import { asSet, atomic, keyed, rules } from "./cel.ts";

export const apiGroup = "tapline.dev";
export const apiVersion = `${apiGroup}/v1alpha1`;
export const category = "tapline";

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly path: string;
  readonly description: string;
  /** shown by `-o wide` only */
  readonly wide?: true;
}

/** A kind, as its CRD needs it. All are cluster-scoped: they govern nodes and host traffic. */
export interface CustomResource {
  readonly kind: string;
  readonly plural: string;
  readonly short: string;
  readonly description: string;
  readonly spec?: z.ZodObject;
  readonly status: z.ZodObject;
  readonly columns: readonly Column[];
  /** what each condition means */
  readonly conditions: Readonly<Record<string, string>>;
}

export const count = z.int().min(0).meta({ format: "int64" });
export const generation = count;
/** RFC 3339, as metav1.Time. */
export const timestamp = z.string().max(64).meta({ format: "date-time" });

/** As metav1.Condition. */
const condition = z.object({
  type: z.string().min(1).max(64).describe("name of the condition"),
  status: z.enum(["True", "False", "Unknown"]).describe("whether it holds"),
  observedGeneration: generation.optional().describe("generation of the object that this is about"),
  lastTransitionTime: timestamp.describe("when status last changed"),
  reason: z.string().min(1).max(128).describe("why, in one word for programs"),
  message: z.string().max(4096).describe("why, for people"),
});
export type ObjectCondition = z.output<typeof condition>;

/** What the status of every kind begins with. */
export const statusHead = {
  observedGeneration: generation.optional().describe("generation of the object that this status is about"),
  conditions: z
    .array(condition)
    .max(16)
    .optional()
    .meta({ ...keyed("type"), description: "what holds of this object, and what does not" }),
};

export const nodeName = z.string().min(1).max(253);

const labelKey = z.string().min(1).max(317);
const labelValue = z.string().max(63);

/** As metav1.LabelSelector, with bounds. */
export const labelSelector = z.object({
  matchLabels: z
    .record(z.string(), labelValue)
    .optional()
    .meta({ maxProperties: 32, description: "labels that a node must have, with their values" }),
  matchExpressions: z
    .array(
      rules(
        z.object({
          key: labelKey.describe("name of a label"),
          operator: z
            .enum(["In", "NotIn", "Exists", "DoesNotExist"])
            .describe("how its value is compared with `values`"),
          values: z
            .array(labelValue.describe("a value of the label"))
            .max(64)
            .optional()
            .meta({ ...atomic, description: "for In and NotIn: values of the label; else none" }),
        }),
      ),
    )
    .max(32)
    .optional()
    .meta({ ...atomic, description: "what else must be true of a node's labels; all of it" }),
});
export type LabelSelector = z.output<typeof labelSelector>;

/** As core/v1 Toleration; without a time, since agents are to stay. */
const toleration = z.object({
  key: z.string().max(317).optional().describe("the taint's key; absent, with operator Exists: every taint"),
  operator: z.enum(["Exists", "Equal"]).default("Equal").describe("Exists: whatever the taint's value is"),
  value: labelValue.optional().describe("the taint's value, with operator Equal"),
  effect: z
    .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
    .optional()
    .describe("the taint's effect; absent: every effect"),
});
export const tolerations = z.array(toleration).max(32);

/** Names of nodes in a list. */
export const nodeNames = z.array(nodeName.describe("name of a node")).max(64).meta(asSet);

/** One of the few nodes that an object's status names. */
export const mostWorst = 5;
const worstNode = z.object({
  node: nodeName.describe("name of the node"),
  reason: z.string().min(1).max(128).describe("what is wrong there, in one word for programs"),
  message: z.string().max(1024).describe("what is wrong there, for people"),
  lost: count.optional().describe("packets that the network lost on the way there"),
  dropped: count.optional().describe("packets that the node itself dropped"),
});
export type WorstNode = z.output<typeof worstNode>;
export const worstNodes = z
  .array(worstNode)
  .max(mostWorst)
  .meta({ ...keyed("node"), description: `the nodes that fare worst, at most ${mostWorst}; all of them: FleetNode` });

/** By reason; those of 0 are left out. */
export const byReason = z.record(z.string(), count.describe("packets")).meta({ maxProperties: 64 });

/** As intstr.IntOrString: a number, or a percentage. */
export const share = z.union([z.int().min(1), z.string().max(8)]);
