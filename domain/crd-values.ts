// Values that only the CRDs have, or have in another form than the agents' configurations: the API server checks them, in CEL (Kubernetes 1.31 or newer,
// for its addresses). Texts continue "field: ".
import { z } from "zod";
import { type CelRule, rules } from "./cel.ts";
import { path } from "./config-values.ts";

const text = (most: number, ...checks: readonly CelRule[]) => rules(z.string().max(most), ...checks);

export const nodePath = path;
export const claimName = text(253);
export const endpoint = text(2048);
/** As Kubernetes writes it: 2, 0.5, 500m */
export const cpuQuantity = rules(z.union([z.int(), z.string().max(20)]));

interface Span {
  readonly least: string;
  readonly most: string;
  readonly usual: string;
  readonly meaning: string;
}
export const durationField = ({ usual, meaning }: Span) => z.string().max(20).default(usual).describe(meaning);
