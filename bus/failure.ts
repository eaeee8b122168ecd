// What the NATS client and server say went wrong, as one of the project's own errors.
import { ErrorCode, type NatsError } from "nats";
import { TaplineError, type ErrorCode as Code } from "#domain/errors.ts";

const codes: Readonly<Record<string, Code>> = {
  [ErrorCode.AuthorizationViolation]: "BUS_REFUSED",
  [ErrorCode.AuthenticationExpired]: "BUS_REFUSED",
  [ErrorCode.AccountExpired]: "BUS_REFUSED",
  [ErrorCode.BadAuthentication]: "BUS_REFUSED",
  [ErrorCode.BadCreds]: "BUS_REFUSED",
  [ErrorCode.AuthenticationTimeout]: "BUS_REFUSED",
  [ErrorCode.ServerOptionNotAvailable]: "BUS_TLS_FAILED",
  [ErrorCode.Tls]: "BUS_TLS_FAILED",
  [ErrorCode.ConnectionTimeout]: "BUS_SILENT",
  [ErrorCode.Timeout]: "BUS_SILENT",
  [ErrorCode.ConnectionRefused]: "BUS_UNREACHABLE",
};

/** OpenSSL's verdicts on a certificate, and Node's own. */
const tlsCode =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|CRL_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH)/;

/** The innermost thing that says more than "connection refused". */
function detailOf(error: NatsError): string {
  const inner: (Error & { errors?: Error[] }) | undefined = error.chainedError;
  // Several addresses of one name were tried: an AggregateError has no message.
  const said = [inner?.message, inner?.errors?.map(({ message }) => message).join("; "), error.message, error.code];
  return said.find((text) => text !== undefined && text !== "") ?? "no reason given";
}

/** Errors of the system carry one. */
const codeOf = (error: object | undefined): unknown => (error && "code" in error ? error.code : undefined);

/** `encrypted`: the attempt was to speak TLS. */
export function busError(cause: unknown, servers: string, encrypted = false): TaplineError {
  if (cause instanceof TaplineError) return cause;
  const error = cause as NatsError;
  // With TLS 1.3 a server looks at the client's certificate after the client thinks that all is well: its refusal may be a mere reset.
  const broken = [codeOf(error?.chainedError), codeOf(error)].some((code) => code === "ECONNRESET" || code === "EPIPE");
  if (encrypted && broken)
    return new TaplineError(
      "BUS_TLS_FAILED",
      { servers, detail: "the server broke it off: does it ask for a client certificate?" },
      { cause },
    );
  if (error?.code === ErrorCode.ServerOptionNotAvailable && error.message === "tls")
    return new TaplineError("BUS_TLS_FAILED", { servers, detail: "the server offers no TLS" }, { cause });
  const code = tlsCode.test(error?.code ?? "") ? "BUS_TLS_FAILED" : (codes[error?.code ?? ""] ?? unreachable(error));
  return new TaplineError(code, { servers, detail: error ? detailOf(error) : "no reason given" }, { cause });
}

/** Errors of the network have a code of the system's. */
const unreachable = (error: NatsError | undefined): Code =>
  /^(?:E[A-Z]+|ETIMEDOUT)$/.test(error?.code ?? "") ? "BUS_UNREACHABLE" : "BUS_FAILED";
