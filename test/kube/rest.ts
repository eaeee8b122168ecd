// The API as it is spoken: JSON over HTTPS, as the administrator. For what kubectl would hide, or take too long for: it starts anew for each object.
import { Agent, request } from "node:https";
import type { ApiserverAlone } from "./apiserver-alone.ts";

export interface Answer<Body = unknown> {
  readonly status: number;
  readonly body: Body;
  /** as kubectl would show them */
  readonly warnings: readonly string[];
}

/** Why the apiserver refused something. */
export interface Refusal {
  readonly message: string;
  readonly reason: string;
  readonly details?: { readonly causes?: readonly { readonly field: string; readonly message: string }[] };
}

export class Rest {
  readonly #server: string;
  readonly #agent: Agent;

  constructor(alone: ApiserverAlone) {
    this.#server = alone.server;
    this.#agent = new Agent({
      keepAlive: true,
      ca: alone.pem("ca.crt"),
      cert: alone.pem("admin.crt"),
      key: alone.pem("admin.key"),
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  ask<Body>(method: string, path: string, sent?: unknown, type = "application/json"): Promise<Answer<Body>> {
    return new Promise((resolve, reject) => {
      const asked = request(`${this.#server}${path}`, {
        method,
        agent: this.#agent,
        headers: { "content-type": type, accept: "application/json" },
      });
      asked.once("error", reject).once("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.once("error", reject).once("end", () => {
          const warnings = (response.headersDistinct["warning"] ?? []).map((one) => one.replace(/^299 - /, ""));
          const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
          resolve({ status: response.statusCode ?? 0, body: (isJson ? JSON.parse(text) : text) as Body, warnings });
        });
      });
      asked.end(sent === undefined ? undefined : JSON.stringify(sent));
    });
  }
}
