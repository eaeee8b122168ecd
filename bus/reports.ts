// The newest report to whoever listens. A report is worth something now: while NATS is away none is kept, and each is counted.
import { ErrorCode, type NatsError } from "nats";
import { TaplineError } from "#domain/errors.ts";
import type { Conditions } from "./conditions.ts";
import type { BusConnection } from "./connection.ts";

export class ReportPublisher {
  readonly #connection: BusConnection;
  readonly #conditions: Conditions;
  readonly #subject: string;
  #sent = 0;
  #unsent = 0;

  constructor(connection: BusConnection, conditions: Conditions, subject: string) {
    this.#connection = connection;
    this.#conditions = conditions;
    this.#subject = subject;
  }

  get figures(): { readonly sent: number; readonly unsent: number } {
    return { sent: this.#sent, unsent: this.#unsent };
  }

  /** False when it was not sent. */
  publish(report: object): boolean {
    const sent = this.#send(JSON.stringify(report));
    if (sent) this.#sent++;
    else this.#unsent++;
    return sent;
  }

  #send(text: string): boolean {
    const { session } = this.#connection;
    if (!session || session.isDraining()) return false;
    try {
      session.publish(this.#subject, text);
    } catch (cause) {
      if ((cause as NatsError).code !== ErrorCode.MaxPayloadExceeded) throw cause;
      const details = { bytes: Buffer.byteLength(text), limit: session.info?.max_payload ?? 0 };
      this.#conditions.raise("report", new TaplineError("BUS_REPORT_TOO_LARGE", details, { cause }));
      return false;
    }
    this.#conditions.clear("report");
    return true;
  }
}
