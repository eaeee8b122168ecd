// Where log lines go, without waiting for whoever reads them. What they cannot keep up with is dropped and counted: a process that carries packets
// must not stand still because a terminal does.
import { write } from "node:fs";

export interface LogDestination {
  write(line: string): void;
  /** Settles when nothing waits any more, or after `ms`. */
  drained(ms: number): Promise<void>;
  dropped(): number;
}

const mostBytesWaiting = 1 << 20;
/** A terminal or pipe that another process made non-blocking says so when it is full. */
const again = (code: string | undefined): boolean => code === "EAGAIN" || code === "EBUSY";

export function descriptorDestination(fd = 2): LogDestination {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let writing = false;
  let dropped = 0;
  const idle = new Set<() => void>();

  const next = (): void => {
    if (writing) return;
    if (waiting.length === 0) {
      for (const settle of idle) settle();
      idle.clear();
      return;
    }
    const lines = waiting.length;
    const chunk = Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
    writing = true;
    put(chunk, 0, lines);
  };
  const put = (chunk: Buffer, from: number, lines: number): void =>
    write(fd, chunk, from, chunk.length - from, null, (error, written) => {
      if (again(error?.code)) {
        setTimeout(() => put(chunk, from, lines), 20).unref();
      } else if (error === null && from + written < chunk.length) {
        put(chunk, from + written, lines);
      } else {
        // The reader went away (EPIPE), or the disk behind a redirection is full: the counter is the only place left to say so.
        if (error !== null) dropped += lines;
        writing = false;
        next();
      }
    });

  return {
    write: (line) => {
      const bytes = Buffer.from(line);
      if (waitingBytes + bytes.length > mostBytesWaiting) {
        dropped++;
        return;
      }
      waiting.push(bytes);
      waitingBytes += bytes.length;
      next();
    },
    drained: (ms) => {
      if (!writing && waiting.length === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        idle.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
    dropped: () => dropped,
  };
}
