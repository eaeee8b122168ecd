// tapline relay: the agent, until a signal; or only a look at its configuration.
import { relayConfig } from "#domain/relay-config.ts";
import { loadConfig } from "#process/config.ts";
import { runRelay } from "#relay/main.ts";

export interface RelayArguments {
  readonly config: string;
  readonly check: boolean;
}

export async function relay({ config, check }: RelayArguments): Promise<number> {
  if (!check) return runRelay(config);
  const { control, state, nats } = await loadConfig(config, relayConfig);
  const rules = nats?.plan ? `the plan of fleet ${nats.fleet}` : `the rules in ${state.path}`;
  process.stdout.write(`${config} is valid: it relays by ${rules}, and is asked at ${control.socket}\n`);
  return 0;
}
