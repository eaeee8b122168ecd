// tapline operator: the operator, until a signal; or only a look at its configuration.
import { operatorConfig } from "#domain/operator-config.ts";
import { runOperator } from "#operator/main.ts";
import { loadConfig } from "#process/config.ts";

export interface OperatorArguments {
  readonly config: string;
  readonly check: boolean;
  readonly kubeconfig?: string;
}

export async function operator({ config, check, kubeconfig }: OperatorArguments): Promise<number> {
  if (!check) return runOperator({ config, kubeconfig });
  const { fleet, namespace, nats } = await loadConfig(config, operatorConfig);
  process.stdout.write(`${config} is valid: it runs fleet ${fleet} from ${namespace}, over ${nats.url.join(", ")}\n`);
  return 0;
}
