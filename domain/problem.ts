// An error as the body of an answer: RFC 9457, with the catalogue's code and hint. The same over HTTP and NATS.
import type { TaplineError } from "./errors.ts";
import { pointAtError } from "./filter.ts";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  /** what was asked */
  readonly instance: string;
  /** the filter with a caret under the place */
  readonly where?: string;
}

export const problemType = "application/problem+json";

export function problemOf(error: TaplineError, instance: string): Problem {
  const where = pointAtError(error);
  return {
    type: `urn:tapline:error:${error.code}`,
    title: error.code.toLowerCase().replaceAll("_", " "),
    status: error.status,
    code: error.code,
    detail: error.message,
    hint: error.hint,
    instance,
    ...(where === undefined ? {} : { where }),
  };
}
