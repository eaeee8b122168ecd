// Takes down what a relay left on this node: programs, pins, workers, memberships. Enters: its configuration. What is kept on disk stays.
import { createConnection } from "node:net";
import { TaplineError } from "#domain/errors.ts";
import { relayConfig } from "#domain/relay-config.ts";
import { loadConfig } from "#process/config.ts";
import { createLogs } from "#process/log.ts";
import { Memberships } from "./memberships.ts";
import { openEngines, runFolder } from "./open-engines.ts";

export async function uninstallRelay(path: string): Promise<void> {
  const config = await loadConfig(path, relayConfig);
  if (await answers(config.control.socket))
    throw new TaplineError("RELAY_SOCKET_TAKEN", { path: config.control.socket });
  const logs = createLogs(config.log);
  const log = logs.facility("relay");
  const engines = openEngines(config, log);
  await engines.uninstall();
  const orphanAfterMs = config.engines.orphanAfter / 1e6;
  await new Memberships({ folder: runFolder(config), orphanAfterMs, log }).uninstall();
  await logs.close();
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
