// What was typed where a capture is expected: a file, or a network interface.
import { existsSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";

/** A file of that name comes first; `./eth0` is always a file. */
export function captureKind(typed: string, interfaces = "/sys/class/net"): "file" | "interface" {
  if (typed === "-") throw new TaplineError("FILE_IS_PIPE", { path: "standard input" });
  return !typed.includes("/") && !existsSync(typed) && existsSync(`${interfaces}/${typed}`) ? "interface" : "file";
}
