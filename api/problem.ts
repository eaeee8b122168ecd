// Every refusal and failure as application/problem+json (RFC 9457) with the catalogue's code and hint.
import type { FastifyError, FastifyInstance } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { TaplineError } from "#domain/errors.ts";
import { problemOf, problemType } from "#domain/problem.ts";

/** Errors of the framework, and of the schemas, as our own. */
function asOurs(error: FastifyError): TaplineError {
  if (error instanceof TaplineError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation;
    const unknown = /^Unrecognized keys?: (.*)$/.exec(first?.message ?? "")?.[1];
    const parameter = unknown?.replaceAll('"', "") ?? (first?.instancePath.replace(/^\//, "") || "the request");
    return new TaplineError(
      "API_BAD_REQUEST",
      { parameter, detail: unknown === undefined ? (first?.message ?? "not valid") : "there is no such parameter" },
      { cause: error },
    );
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500)
    return new TaplineError("API_BAD_REQUEST", { parameter: "the request", detail: error.message }, { cause: error });
  return new TaplineError("API_FAILED", { detail: error.message }, { cause: error });
}

export function answerProblems(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const ours = asOurs(error);
    if (ours.status >= 500) request.log.error({ code: ours.code, err: error }, "request failed");
    return reply.code(ours.status).type(problemType).send(problemOf(ours, request.url));
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new TaplineError("API_NOT_FOUND", { path: request.url.split("?")[0] ?? "" });
    return reply.code(404).type(problemType).send(problemOf(error, request.url));
  });
}
