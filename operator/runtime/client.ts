// The Kubernetes API in verbs. Enters: a kind and an object or its name. Leaves: what the API answered, or an error of the catalogue.
// Writes wait for their turn (`writes`) and pass the fence: once it throws, nothing more is written.
import type { TaplineError } from "#domain/errors.ts";
import type { Access } from "./access.ts";
import { hasCode } from "./api-error.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { apiVersionOf, type KubeObject, type ObjectName, pathOf, type Resource, spoken } from "./objects.ts";
import { type Rate, TokenBucket } from "./token-bucket.ts";
import { type Asked, Transport } from "./transport.ts";
import { watchEvents, type WatchEvent } from "./watch.ts";

export interface ClientOptions {
  readonly access: Access;
  /** Whose the fields are that are applied; those of a status are `${fieldManager}-status`'s. */
  readonly fieldManager: string;
  readonly metrics?: OperatorMetrics | undefined;
  /** for an answer to be whole */
  readonly timeoutMs?: number;
  /** absent: as fast as it goes */
  readonly writes?: Rate | undefined;
  /** Called before each write; throws when this process may write no more. */
  readonly fence?: (() => void) | undefined;
  /** milliseconds that only grow */
  readonly now?: () => number;
}

export interface Selection {
  /** absent: all namespaces */
  readonly namespace?: string | undefined;
  readonly labels?: string | undefined;
  readonly fields?: string | undefined;
}
export interface ListAsked<T extends KubeObject = KubeObject> extends Selection {
  readonly pageSize?: number;
  /** takes off what nobody reads, page by page: a whole list may be larger than all that is kept of it */
  readonly trim?: ((object: T) => T) | undefined;
  readonly signal?: AbortSignal | undefined;
}
export interface WatchAsked extends Selection {
  readonly resourceVersion: string;
  /** after which the API ends it */
  readonly seconds: number;
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}
export interface Listed<T> {
  readonly resourceVersion: string;
  readonly items: readonly T[];
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;
interface Call {
  readonly verb: string;
  readonly method: Asked["method"];
  readonly resource: Resource;
  readonly name?: Partial<ObjectName>;
  readonly subresource?: string | undefined;
  readonly query?: Query;
  readonly body?: Asked["body"];
  readonly signal?: AbortSignal | undefined;
}

const defaultPage = 500;

export class KubeClient {
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #writes: TokenBucket | undefined;
  readonly fieldManager: string;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.fieldManager = options.fieldManager;
    this.#transport = new Transport(options.access, options.fieldManager);
    const { writes, now = () => performance.now() } = options;
    this.#writes = writes && new TokenBucket(writes, now);
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: ObjectName, signal?: AbortSignal): Promise<T> {
    return (await this.#call({ verb: "get", method: "GET", resource, name, signal })) as T;
  }

  /** Undefined when there is none. */
  async find<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await this.get(resource, name, signal);
    } catch (error) {
      if (hasCode(error, "KUBE_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  /** All of them as of one moment, asked for in pages. KUBE_EXPIRED when that took longer than the API remembers. */
  async list<T extends KubeObject>(resource: Resource<T>, asked: ListAsked<T> = {}): Promise<Listed<T>> {
    const { namespace, pageSize = defaultPage, signal, trim = (item) => item } = asked;
    const items: T[] = [];
    let page: { metadata: { continue?: string; resourceVersion: string }; items: T[] };
    let next: string | undefined;
    do {
      const query = { ...selectors(asked), limit: pageSize, continue: next };
      page = (await this.#call({
        verb: "list",
        method: "GET",
        resource,
        name: { namespace },
        query,
        signal,
      })) as typeof page;
      // Items of a list do not say their kind.
      for (const item of page.items ?? [])
        items.push(trim({ ...item, apiVersion: apiVersionOf(resource), kind: resource.kind }));
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    return { resourceVersion: page.metadata.resourceVersion, items };
  }

  /** Ends when the API ends it; throws when it was cut, or silent for too long. */
  watch<T extends KubeObject>(
    resource: Resource<T>,
    asked: WatchAsked,
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { namespace, resourceVersion, seconds, silenceMs, signal } = asked;
    const query = {
      ...selectors(asked),
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion,
      timeoutSeconds: seconds,
    };
    const what = `watch ${resource.plural}`;
    const path = withQuery(pathOf(resource, { namespace }), query);
    const pieces = this.#transport.stream({ method: "GET", path, what, signal, silenceMs });
    return watchEvents<T>(pieces, what);
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T, signal?: AbortSignal): Promise<T> {
    const { namespace } = object.metadata;
    const query = { fieldManager: this.fieldManager };
    const body = { type: "application/json", value: object };
    return (await this.#call({
      verb: "create",
      method: "POST",
      resource,
      name: { namespace },
      query,
      body,
      signal,
    })) as T;
  }

  /** The whole object; its resourceVersion guards it: KUBE_CONFLICT when it was changed meanwhile. */
  async update<T extends KubeObject>(resource: Resource<T>, object: T, signal?: AbortSignal): Promise<T> {
    const query = { fieldManager: this.fieldManager };
    const body = { type: "application/json", value: object };
    const name = object.metadata;
    return (await this.#call({ verb: "update", method: "PUT", resource, name, query, body, signal })) as T;
  }

  /** JSON merge patch, RFC 7386. */
  async merge<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    patch: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    const query = { fieldManager: this.fieldManager };
    const body = { type: "application/merge-patch+json", value: patch };
    return (await this.#call({ verb: "patch", method: "PATCH", resource, name, query, body, signal })) as T;
  }

  /**
   * Server-side apply: the fields of `object` become ours, those of ours that are not in it go. Fields of others are
   * taken only with `force`, else KUBE_FIELDS_TAKEN.
   */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    object: KubeObject,
    { force, signal }: { readonly force: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<T> {
    return this.#apply<T>({ verb: "apply", method: "PATCH", resource, signal }, object, force, this.fieldManager);
  }

  /** The object's status, which nobody else writes: taken from whoever did. */
  applyStatus<T extends KubeObject>(resource: Resource<T>, object: KubeObject, signal?: AbortSignal): Promise<T> {
    const call = { verb: "apply", method: "PATCH", resource, subresource: "status", signal } as const;
    return this.#apply<T>(call, object, true, `${this.fieldManager}-status`);
  }

  /** How many pods it shall have. */
  async scale(resource: Resource, name: ObjectName, replicas: number, signal?: AbortSignal): Promise<void> {
    const query = { fieldManager: this.fieldManager };
    const body = { type: "application/merge-patch+json", value: { spec: { replicas } } };
    await this.#call({ verb: "patch", method: "PATCH", resource, name, subresource: "scale", query, body, signal });
  }

  /** True when there was one. `uid`: only this very object, not one of the same name that came after it. */
  async delete(
    resource: Resource,
    name: ObjectName,
    { uid, signal }: { readonly uid?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const value = { propagationPolicy: "Background", ...(uid && { preconditions: { uid } }) };
    try {
      const body = { type: "application/json", value };
      await this.#call({ verb: "delete", method: "DELETE", resource, name, body, signal });
      return true;
    } catch (error) {
      if (hasCode(error, "KUBE_NOT_FOUND")) return false;
      throw error;
    }
  }

  close(): void {
    this.#transport.close();
  }

  async #apply<T>(call: Call, object: KubeObject, force: boolean, fieldManager: string): Promise<T> {
    const query = { fieldManager, force };
    // JSON is YAML.
    const body = { type: "application/apply-patch+yaml", value: object };
    return (await this.#call({ ...call, name: object.metadata, query, body })) as T;
  }

  async #call({ verb, method, resource, name, subresource, query, body, signal }: Call): Promise<unknown> {
    const { timeoutMs = 30_000, fence, metrics } = this.#options;
    if (method !== "GET") {
      fence?.();
      await this.#writes?.wait(signal);
      fence?.();
    }
    const object = name?.name === undefined ? undefined : { namespace: name.namespace, name: name.name };
    const what = `${verb} ${object ? spoken(resource, object) : resource.plural}${subresource ? ` (${subresource})` : ""}`;
    const path = withQuery(pathOf(resource, name, subresource), query ?? {});
    const count = (code: string): void =>
      metrics?.add("tapline_operator_requests_total", { verb, resource: resource.plural, code }, 1);
    try {
      const answer = await this.#transport.answer({ method, path, what, body, signal, silenceMs: timeoutMs });
      count("2xx");
      return answer;
    } catch (error) {
      if (!signal?.aborted) count(String((error as Partial<TaplineError>).details?.["http"] ?? "none"));
      throw error;
    }
  }
}

const selectors = ({ labels, fields }: Selection): Query => ({ labelSelector: labels, fieldSelector: fields });

function withQuery(path: string, query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}
