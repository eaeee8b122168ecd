// The JetStream stream that keeps a fleet's findings. The first sensor that may, makes it; an existing one is taken as it is.
import { ErrorCode, type NatsConnection, type NatsError } from "nats";
import { TaplineError } from "#domain/errors.ts";
import { everyFinding, findingStream } from "#domain/subjects.ts";

export interface StreamOptions {
  readonly maxBytes: number;
  /** servers of the cluster that keep a copy: 1, 3 or 5 */
  readonly replicas?: number;
}

/** JetStream's API answers with this, or with what was asked for. */
export interface ApiError {
  readonly err_code: number;
  readonly description: string;
}

/** Answers on the server's own subjects; its numbers for "not enabled", "exists otherwise", "another stream has these subjects". */
const notEnabled = [10039, 10076];
const alreadyKept = [10058, 10065];

const dayNs = 86_400_000_000_000;
/**
 * For how long the server knows the ids of stored messages. A batch whose acknowledgement was lost and that is sent again later
 * than this is stored twice, under one id. The server holds each id in memory for as long.
 */
const duplicateWindowNs = 300_000_000_000;

/** True when a stream keeps the findings; false when this user may not ask. Throws what is missing. */
export async function ensureStream(
  session: NatsConnection,
  fleet: string,
  { maxBytes, replicas = 1 }: StreamOptions,
  timeout: number,
): Promise<boolean> {
  const stream = findingStream(fleet);
  const every = everyFinding(fleet);
  const config = {
    name: stream,
    description: "findings of Tapline's sensors",
    subjects: [every],
    retention: "limits",
    storage: "file",
    discard: "old",
    max_age: 7 * dayNs,
    max_bytes: maxBytes,
    num_replicas: replicas,
    duplicate_window: duplicateWindowNs,
    allow_direct: true,
  };
  let error: ApiError | undefined;
  try {
    const answer = await session.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config), { timeout });
    error = answer.json<{ error?: ApiError }>().error;
  } catch (cause) {
    const { code } = cause as NatsError;
    if (code === ErrorCode.PermissionsViolation) return false;
    if (code === ErrorCode.NoResponders)
      throw new TaplineError("BUS_NO_JETSTREAM", { detail: "nobody answers its requests" }, { cause });
    throw cause;
  }
  if (error === undefined || alreadyKept.includes(error.err_code)) return true;
  if (notEnabled.includes(error.err_code)) throw new TaplineError("BUS_NO_JETSTREAM", { detail: error.description });
  throw new TaplineError("BUS_NO_STREAM", {
    subject: every,
    stream,
    every,
    detail: `${error.description} (${error.err_code})`,
  });
}
