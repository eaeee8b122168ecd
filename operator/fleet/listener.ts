// Reports from NATS into the books. Enters: sessions, one after the other. Leaves: books that are as of now, and counts of what was not believed.
import type { NatsConnection } from "nats";
import { everyRelayReport, everyReport } from "#domain/subjects.ts";
import { type Intake, takeReport } from "./intake.ts";
import { Refusals } from "./refusals.ts";
import { RelayBook } from "./relay-book.ts";
import { SensorBook } from "./sensor-book.ts";

export interface ListenerOptions extends Intake {
  /** monotonic, ms */
  readonly monotonic: () => number;
}

export class FleetListener {
  readonly #options: ListenerOptions;
  readonly relays = new RelayBook();
  readonly sensors = new SensorBook();
  readonly refusals = new Refusals();
  taken = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** For as long as the session stands. */
  listen(session: NatsConnection): void {
    const { fleet } = this.#options;
    for (const subject of [everyReport(fleet), everyRelayReport(fleet)])
      session.subscribe(subject, { callback: (error, message) => error || this.hear(message.subject, message.data) });
  }

  /** To be called now and then: books are kept of nodes and pools that are there. */
  forgetStrangers(): void {
    const { knowsNode, knowsPool } = this.#options;
    this.relays.forgetBut(knowsNode);
    this.sensors.forgetBut(knowsPool, knowsNode);
  }

  hear(subject: string, data: Uint8Array): void {
    const { monotonic, now } = this.#options;
    const taken = takeReport(subject, data, this.#options);
    if ("refused" in taken) {
      this.refusals.add(taken);
      return;
    }
    const { report, clockOffMs } = taken;
    const fresh =
      taken.kind === "sensor"
        ? this.sensors.hear(taken.report, clockOffMs, monotonic(), now())
        : this.relays.hear(taken.report, clockOffMs, monotonic(), now());
    if (fresh) this.taken++;
    else this.refusals.add({ refused: "behind", node: report.node, detail: `report ${report.sequence}` });
  }
}
