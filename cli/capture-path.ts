// What was typed where a capture file is expected: an interface and standard input get their own answer.
import { existsSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";

export function checkCapturePath(typed: string, interfaces = "/sys/class/net"): string {
  if (typed === "-") throw new TaplineError("FILE_IS_PIPE", { path: "standard input" });
  if (!typed.includes("/") && !existsSync(typed) && existsSync(`${interfaces}/${typed}`)) {
    throw new TaplineError("LIVE_NOT_YET", { path: typed });
  }
  return typed;
}
