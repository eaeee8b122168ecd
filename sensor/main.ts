// `tapline sensor`: its configuration, and the running sensor that it becomes.
import { sensorConfig } from "#domain/sensor-config.ts";
import { engine } from "#native/engine.ts";
import { runAgent } from "#process/agent.ts";
import { startSensor } from "./sensor.ts";

export interface SensorArguments {
  readonly config: string;
  readonly require: boolean;
}

export const runSensor = ({ config, require }: SensorArguments): Promise<never> =>
  runAgent({
    kind: "sensor",
    config,
    schema: sensorConfig,
    releaseUnused: () => engine().releaseUnused(),
    start: (first, context) => startSensor(first, { ...context, require }),
  });
