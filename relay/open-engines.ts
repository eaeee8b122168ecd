// The engines that this node has. Enters: the configuration. Leaves: whatever carries packets here; where nothing can, rules wait and say so.
import type { RelayConfig } from "#domain/relay-config.ts";
import { type Engines, noEngines } from "./engines.ts";

export const openEngines = (_config: RelayConfig): Engines => noEngines("this build has no engine");
