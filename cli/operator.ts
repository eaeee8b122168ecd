// tapline operator: the operator, until a signal; or its end for good; or only a look at its configuration.
import { operatorConfig } from "#domain/operator-config.ts";
import { runDrain } from "#operator/drain.ts";
import { runOperator } from "#operator/main.ts";
import { loadConfig } from "#process/config.ts";

export interface OperatorArguments {
  readonly config: string;
  readonly check: boolean;
  readonly drain: boolean;
  readonly kubeconfig?: string;
}

export async function operator({ config, check, drain, kubeconfig }: OperatorArguments): Promise<number> {
  if (drain && !check) {
    const fleet = await runDrain({ config, kubeconfig });
    process.stdout.write(`nothing of fleet ${fleet} runs on nodes; SensorPools and RelayRules are as they were\n`);
    return 0;
  }
  if (!check) return runOperator({ config, kubeconfig });
  const { fleet, namespace, nats } = await loadConfig(config, operatorConfig);
  process.stdout.write(`${config} is valid: it runs fleet ${fleet} from ${namespace}, over ${nats.url.join(", ")}\n`);
  return 0;
}
