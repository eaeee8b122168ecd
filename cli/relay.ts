// tapline relay: the agent, until a signal; or only a look at its configuration.
import { relayConfig } from "#domain/relay-config.ts";
import { loadConfig } from "#process/config.ts";
import { runRelay } from "#relay/main.ts";
import { uninstallRelay } from "#relay/uninstall.ts";

export interface RelayArguments {
  readonly config: string;
  readonly check: boolean;
  readonly uninstall: boolean;
}

export async function relay({ config, check, uninstall }: RelayArguments): Promise<number> {
  if (uninstall) {
    await uninstallRelay(config);
    process.stdout.write(
      "nothing is relayed any more: programs, pins, workers and memberships are gone; rules stay on disk\n",
    );
    return 0;
  }
  if (!check) return runRelay(config);
  const { control, state, nats } = await loadConfig(config, relayConfig);
  const rules = nats?.plan ? `the plan of fleet ${nats.fleet}` : `the rules in ${state.path}`;
  process.stdout.write(`${config} is valid: it relays by ${rules}, and is asked at ${control.socket}\n`);
  return 0;
}
