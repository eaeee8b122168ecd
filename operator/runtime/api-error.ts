// What the Kubernetes API answers when it does not do as asked. Enters: an HTTP status and a Status object. Leaves: an error of the
// catalogue with the API's own words; the Status is its cause.
import { type ErrorCode, TaplineError } from "#domain/errors.ts";

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export interface ApiStatus {
  readonly kind: "Status";
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
  };
}

export const isStatus = (value: unknown): value is ApiStatus =>
  typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "Status";

export const fieldConflicts = (status: ApiStatus): NonNullable<NonNullable<ApiStatus["details"]>["causes"]> =>
  (status.details?.causes ?? []).filter(({ reason }) => reason === "FieldManagerConflict");

function codeOf(http: number, status: ApiStatus): ErrorCode {
  switch (http) {
    case 400:
    case 422:
      return "KUBE_INVALID";
    case 401:
      return "KUBE_UNAUTHORIZED";
    case 403:
      return "KUBE_FORBIDDEN";
    case 404:
      return "KUBE_NOT_FOUND";
    case 409:
      if (status.reason === "AlreadyExists") return "KUBE_ALREADY_EXISTS";
      return fieldConflicts(status).length > 0 ? "KUBE_FIELDS_TAKEN" : "KUBE_CONFLICT";
    case 410:
      return "KUBE_EXPIRED";
    case 429:
    case 503:
      return "KUBE_OVERLOADED";
    default:
      return "KUBE_FAILED";
  }
}

export interface Refusal {
  readonly http: number;
  /** what was asked: "apply daemonsets tapline/sensor-core" */
  readonly what: string;
  readonly status: ApiStatus;
  /** of the header, when the Status has none */
  readonly retryAfter?: number | undefined;
}

const mostText = 1000;

export function apiError({ http, what, status, retryAfter }: Refusal): TaplineError {
  const wait = status.details?.retryAfterSeconds ?? retryAfter;
  const detail = (status.message ?? status.reason ?? `HTTP ${http}`).slice(0, mostText);
  return new TaplineError(
    codeOf(http, status),
    { what, detail, http, ...(wait === undefined ? {} : { retryAfterSeconds: wait }) },
    { cause: status },
  );
}

export const hasCode = (error: unknown, ...codes: readonly ErrorCode[]): error is TaplineError =>
  error instanceof TaplineError && codes.includes(error.code);

/** How long the API asked to wait, in milliseconds. */
export function patience(error: unknown): number | undefined {
  if (!(error instanceof TaplineError)) return undefined;
  const seconds = error.details["retryAfterSeconds"];
  return typeof seconds === "number" ? seconds * 1000 : undefined;
}
