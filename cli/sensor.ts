// tapline sensor: the agent, until a signal; or only a look at its configuration.
import { sensorConfig } from "#domain/sensor-config.ts";
import { loadConfig } from "#process/config.ts";
import { exposedSecrets, secretFiles } from "#process/secrets.ts";
import { runSensor } from "#sensor/main.ts";
import { tryFilter } from "#sensor/start-capture.ts";
import { problemText } from "./problem.ts";

export interface SensorArguments {
  readonly config: string;
  readonly check: boolean;
  readonly require: boolean;
}

export async function sensor({ config, check, require }: SensorArguments): Promise<number> {
  if (!check) return runSensor({ config, require });
  const checked = await loadConfig(config, sensorConfig);
  if (checked.capture.filter !== "") await tryFilter(checked);
  for (const { message, code, hint } of exposedSecrets(secretFiles(checked)))
    process.stderr.write(`${problemText(message, code, hint)}\n`);
  const { interfaces, store } = checked;
  const names = interfaces.map(({ name, glob, driver }) => name ?? glob ?? `driver ${driver}`).join(", ");
  process.stdout.write(`${config} is valid: it captures on ${names} into ${store.path}\n`);
  return 0;
}
