// What can be typed about the operator.
import { Command } from "commander";
import { examples, type Done } from "./command-parts.ts";
import type { OperatorArguments } from "./operator.ts";

export function operatorCommand(done: Done): Command {
  return new Command("operator")
    .description("run a fleet: SensorPools and RelayRules of the Kubernetes API become agents, plans and statuses")
    .requiredOption("--config <file>", "YAML; every key is described in docs/reference/operator-config.md")
    .option("--kubeconfig <file>", "how the API is reached (default: the pod's service account)")
    .option("--check", "say whether the configuration is valid, and end", false)
    .option("--drain", "take the operator's place, end all that it runs on nodes and made in the API, and end", false)
    .addHelpText("after", examples("operator --config operator.yaml --check", "operator --config operator.yaml --kubeconfig ~/.kube/config")) // biome-ignore format: one call
    .action(async (options: OperatorArguments) => {
      done(await (await import("./operator.ts")).operator(options));
    });
}
