// One attempt to connect to one server, bounded in time, and nothing left of it when it fails. The client by itself leaves a socket
// open for ever when a server accepts and never greets; so the attempt's sockets are watched and destroyed here.
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { connect, type ConnectionOptions, type NatsConnection } from "nats";

/** The attempt that runs in this context; `sockets` is gone when it has ended, for what the session does later is in this context, too. */
interface Attempt {
  sockets: Set<Socket> | undefined;
}
const attempt = new AsyncLocalStorage<Attempt>();
let watching = false;

/** Node tells of every client socket it makes. */
function watchSockets(): void {
  if (watching) return;
  watching = true;
  subscribe(
    "net.client.socket",
    (message) => void attempt.getStore()?.sockets?.add((message as { socket: Socket }).socket),
  );
}

/** Rejects with the client's error. `signal` ends the attempt at once. */
export async function dial(options: ConnectionOptions, signal: AbortSignal): Promise<NatsConnection> {
  watchSockets();
  signal.throwIfAborted();
  const sockets = new Set<Socket>();
  const own: Attempt = { sockets };
  const destroy = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  signal.addEventListener("abort", destroy, { once: true });
  try {
    const connection = await attempt.run(own, () => connect(options));
    if (signal.aborted) await connection.close();
    signal.throwIfAborted();
    return connection;
  } catch (error) {
    destroy();
    throw error;
  } finally {
    own.sockets = undefined;
    signal.removeEventListener("abort", destroy);
  }
}
