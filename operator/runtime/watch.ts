// One watch: lines of JSON → changes. Enters: the pieces of an answer that does not end. Leaves: each change as it comes; half a line at the end of a
// connection that was cut is none. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
import { TaplineError } from "#domain/errors.ts";
import { apiError, isStatus } from "./api-error.ts";
import type { KubeObject } from "./objects.ts";

export type WatchType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
export interface WatchEvent<T> {
  readonly type: WatchType;
  /** of a bookmark only its resourceVersion counts */
  readonly object: T;
}

/** etcd holds no object of more than 1.5 MiB. */
const mostLineBytes = 8 << 20;
const lineFeed = 10;

export async function* watchEvents<T extends KubeObject>(
  pieces: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  let begun: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    let from = 0;
    for (let to = piece.indexOf(lineFeed); to >= 0; to = piece.indexOf(lineFeed, from)) {
      begun.push(piece.subarray(from, to));
      yield eventOf<T>(Buffer.concat(begun).toString("utf8"), what);
      begun = [];
      bytes = 0;
      from = to + 1;
    }
    begun.push(piece.subarray(from));
    bytes += piece.length - from;
    if (bytes > mostLineBytes)
      throw new TaplineError("KUBE_FAILED", { what, detail: `a change has more than ${mostLineBytes} bytes` });
  }
}

function eventOf<T extends KubeObject>(line: string, what: string): WatchEvent<T> {
  let event: { type?: string; object?: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (cause) {
    throw new TaplineError("KUBE_FAILED", { what, detail: (cause as Error).message }, { cause });
  }
  const { type, object } = event;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
    case "BOOKMARK":
      return { type, object: object as T };
    default: {
      const status = isStatus(object) ? object : { kind: "Status" as const, message: `a change of type ${type}` };
      throw apiError({ http: status.code ?? 500, what, status });
    }
  }
}
