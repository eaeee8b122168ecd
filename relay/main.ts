// `tapline relay`: its configuration, and the running relay that it becomes.
import { relayConfig } from "#domain/relay-config.ts";
import { engine } from "#native/engine.ts";
import { runAgent } from "#process/agent.ts";
import { startRelay } from "./relay.ts";

export const runRelay = (config: string): Promise<never> =>
  runAgent({
    kind: "relay",
    config,
    schema: relayConfig,
    releaseUnused: () => engine().releaseUnused(),
    start: startRelay,
  });
