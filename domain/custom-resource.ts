// What the three kinds of object have in common: group, version, conditions, selectors. The CRDs in crds/ are made from here.
import { z } from "zod";
import { atomic, atomicMap, type CelRule, keyed, rules } from "./cel.ts";

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

export const conditionPath = (type: string, part: "status" | "reason" | "message" = "status"): string =>
  `.status.conditions[?(@.type=="${type}")].${part}`;
/** What every kind is looked at for first. */
export const readyColumns: readonly Column[] = [
  { name: "Ready", type: "string", path: conditionPath("Ready"), description: "whether all is as asked for" },
  { name: "Why", type: "string", path: conditionPath("Ready", "reason"), description: "why it is, or is not" },
];
export const ageColumn: Column = {
  name: "Age",
  type: "date",
  path: ".metadata.creationTimestamp",
  description: "time since the object was made",
};

/** A kind, as its CRD needs it. All are cluster-scoped: they govern nodes and host traffic. */
export interface CustomResource {
  readonly kind: string;
  readonly plural: string;
  readonly short: string;
  readonly description: string;
  /** of the whole object */
  readonly rules?: readonly CelRule[];
  readonly spec?: z.ZodObject;
  readonly status: z.ZodObject;
  readonly columns: readonly Column[];
  /** what each condition means */
  readonly conditions: Readonly<Record<string, string>>;
}

export const count = z.int().min(0).meta({ format: "int64" });
/** RFC 3339, as metav1.Time. */
export const timestamp = z.string().max(64).meta({ format: "date-time" });

/** As metav1.Condition. */
const condition = z.object({
  type: z.string().min(1).max(64).describe("name of the condition"),
  status: z.enum(["True", "False", "Unknown"]).describe("whether it holds"),
  observedGeneration: count.optional().describe("generation of the object that this is about"),
  lastTransitionTime: timestamp.describe("when status last changed"),
  reason: z.string().min(1).max(128).describe("why, in one word for programs"),
  message: z.string().max(4096).describe("why, for people"),
});
export type ObjectCondition = z.output<typeof condition>;

/** What the status of every kind begins with. */
export const statusHead = {
  observedGeneration: count.optional().describe("generation of the object that this status is about"),
  conditions: z
    .array(condition)
    .max(16)
    .optional()
    .meta({ ...keyed("type"), description: "what holds of this object, and what does not" }),
};

export const nodeName = rules(z.string().max(253), {
  rule: "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
  message: "must be the name of a node, as `kubectl get nodes` shows it",
});

/** Objects whose names become parts of others: subjects on NATS, DaemonSets, labels. For CustomResource.rules. */
export const shortObjectName = {
  rule: "self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')",
  fieldPath: ".metadata.name",
  message: "must be at most 40 characters, without dots: other objects are named after this one",
};

const labelKey = rules(z.string().max(317), {
  rule: "self.matches('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$')",
  message: "must be the name of a label, as kubernetes.io/hostname",
});
const isLabelValue = {
  rule: "self.matches('^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$')",
  message: "must be the value of a label: letters, digits, and inner . _ -",
};
const labelValue = rules(z.string().max(63), isLabelValue);

/** As metav1.LabelSelector, with bounds. */
export const labelSelector = z.object({
  matchLabels: z
    .record(z.string(), labelValue.describe("the label's value"))
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
            .max(32)
            .optional()
            .meta({ ...atomic, description: "for In and NotIn: values of the label; else none" }),
        }),
        {
          rule: "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
          fieldPath: ".values",
          message: "belong to the operators In and NotIn, which need at least one; Exists and DoesNotExist take none",
        },
      ),
    )
    .max(16)
    .optional()
    .meta({ ...atomic, description: "what else must be true of a node's labels; all of it" }),
});
export type LabelSelector = z.output<typeof labelSelector>;

/** As core/v1 Toleration; without a time, since agents are to stay. */
const toleration = rules(
  z.object({
    key: z.string().max(317).optional().describe("the taint's key; absent, with operator Exists: every taint"),
    operator: z.enum(["Exists", "Equal"]).default("Equal").describe("Exists: whatever the taint's value is"),
    value: labelValue.optional().describe("the taint's value, with operator Equal"),
    effect: z
      .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
      .optional()
      .describe("the taint's effect; absent: every effect"),
  }),
  {
    rule: "self.operator == 'Exists' ? !has(self.value) || self.value == '' : has(self.key) && self.key != ''",
    message:
      "with operator Equal needs a key, and with Exists has no value: Exists without a key tolerates every taint",
  },
);
export const tolerations = z.array(toleration).max(32);

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
export const byReason = z.record(z.string(), count.describe("packets")).meta({ ...atomicMap, maxProperties: 64 });
