// Runs in the store's reader thread: a page of flows leaves it as the bytes that go out.
import type { FlowRow } from "#store/queries.ts";
import { presentFlow } from "./present.ts";

export const flowsText = (rows: readonly FlowRow[]): string => JSON.stringify(rows.map(presentFlow));
