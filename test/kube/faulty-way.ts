// The way to an apiserver, with its faults: HTTP in, HTTPS out as the administrator. Nothing is invented: what passes is the real apiserver's. What can
// be done to it: cut (in the middle of a line, too), refused with a 500, left half open, asked and never answered, robbed of a change.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import type { ApiserverAlone } from "./apiserver-alone.ts";

export interface Passed {
  readonly method: string;
  readonly path: string;
  readonly watch: boolean;
}

export class FaultyWay implements AsyncDisposable {
  readonly #alone: ApiserverAlone;
  readonly #agent: Agent;
  readonly #server: Server;
  readonly #watches = new Map<ServerResponse, IncomingMessage>();
  readonly passed: Passed[] = [];
  /** of watches */
  cuts = 0;
  /** Requests that are answered with a 500 by something between, which writes HTML. */
  refuse: (asked: Passed) => boolean = () => false;
  /** Requests that are accepted and never answered. */
  ignore: (asked: Passed) => boolean = () => false;
  /** Lines of watches that are left out. */
  rob: (line: string) => boolean = () => false;
  /** Bytes after which a watch that begins now is reset. */
  cutAfter: () => number = () => Number.POSITIVE_INFINITY;

  private constructor(alone: ApiserverAlone) {
    this.#alone = alone;
    this.#agent = new Agent({
      keepAlive: true,
      ca: alone.pem("ca.crt"),
      cert: alone.pem("admin.crt"),
      key: alone.pem("admin.key"),
    });
    this.#server = createServer((asked, answer) => this.#pass(asked, answer));
  }

  static async to(alone: ApiserverAlone): Promise<FaultyWay> {
    const way = new FaultyWay(alone);
    way.#server.listen(0, "127.0.0.1");
    await once(way.#server, "listening");
    return way;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resets all watches that there are. */
  cut(): number {
    const cut = [...this.#watches.keys()];
    for (const answer of cut) this.#reset(answer);
    return cut.length;
  }

  /** The watches that there are hear nothing any more, and are not told. */
  halfOpen(): number {
    for (const upstream of this.#watches.values()) {
      upstream.pause();
      upstream.removeAllListeners("data");
    }
    return this.#watches.size;
  }

  /** Kept connections that nobody uses at the moment are closed, as a load balancer does. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((closed) => this.#server.close(closed));
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const { method = "", url = "" } = asked;
    const seen: Passed = { method, path: url, watch: url.includes("watch=true") };
    this.passed.push(seen);
    if (this.ignore(seen)) return;
    if (this.refuse(seen)) {
      answer.writeHead(500, { "content-type": "text/html" }).end("<html>upstream failed</html>");
      return;
    }
    const { authorization: _, host: __, ...headers } = asked.headers;
    const upstream = request(`${this.#alone.server}${url}`, { method, headers, agent: this.#agent });
    answer.once("close", () => upstream.destroy());
    upstream.once("error", () => answer.destroy());
    upstream.once("response", (response) => {
      response.once("error", () => answer.destroy());
      answer.writeHead(response.statusCode ?? 0, response.headers);
      if (seen.watch && response.statusCode === 200) this.#passWatch(response, answer);
      else response.pipe(answer);
    });
    asked.pipe(upstream);
  }

  #passWatch(response: IncomingMessage, answer: ServerResponse): void {
    this.#watches.set(answer, response);
    answer.once("close", () => this.#watches.delete(answer));
    answer.flushHeaders();
    let left = this.cutAfter();
    let begun = "";
    response.setEncoding("utf8").on("data", (piece: string) => {
      const lines = (begun + piece).split("\n");
      begun = lines.pop() ?? "";
      const kept = Buffer.from(
        lines
          .filter((line) => !this.rob(line))
          .map((line) => `${line}\n`)
          .join(""),
      );
      const passes = kept.subarray(0, left);
      left -= kept.length;
      answer.write(passes, () => {
        if (left <= 0) this.#reset(answer);
      });
    });
    response.once("end", () => answer.end());
  }

  #reset(answer: ServerResponse): void {
    if (!this.#watches.delete(answer)) return; // it was, a moment ago
    this.cuts++;
    answer.socket?.resetAndDestroy();
  }
}
