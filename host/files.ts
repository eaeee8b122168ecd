// Small files of sysfs and procfs, below roots given from outside, so that a tree made by a test can stand for a machine.
// Three answers are kept apart: the file is not there (this kernel or device has no such thing), it has a text (maybe an
// empty one: "no CPU is isolated"), or the kernel refused to answer (sysfs does, with EINVAL, for the speed of a link that is down).
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { TaplineError } from "#domain/errors.ts";

export type Reading =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "absent" }
  /** `code` is an errno's name, EINVAL for example */
  | { readonly kind: "refused"; readonly code: string };

export interface Roots {
  readonly sys: string;
  readonly proc: string;
  /** where /proc/irq is; elsewhere in a container whose own is read-only */
  readonly irq?: string;
}

/** ESRCH: a process ended between the look at the folder and the read. ENODEV: so did a device. */
const gone = new Set(["ENOENT", "ENOTDIR", "ESRCH", "ENODEV"]);

export const errno = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

export class HostFiles {
  readonly #roots: Roots;

  constructor(roots: Roots = { sys: "/sys", proc: "/proc" }) {
    this.#roots = roots;
  }

  sys(...parts: readonly string[]): string {
    return join(this.#roots.sys, ...parts);
  }
  proc(...parts: readonly string[]): string {
    return join(this.#roots.proc, ...parts);
  }
  irq(...parts: readonly string[]): string {
    return join(this.#roots.irq ?? this.proc("irq"), ...parts);
  }

  read(path: string): Reading {
    try {
      return { kind: "text", text: readFileSync(path, "utf8").trimEnd() };
    } catch (error) {
      const code = errno(error);
      return gone.has(code) ? { kind: "absent" } : { kind: "refused", code };
    }
  }

  /** Undefined when it is not there; a refusal is an error, because none is expected of such a file. */
  text(path: string): string | undefined {
    const reading = this.read(path);
    if (reading.kind === "refused") throw new TaplineError("HOST_UNREADABLE", { path, detail: reading.code });
    return reading.kind === "text" ? reading.text : undefined;
  }

  /** A whole number; null when the file is not there, holds no number, or the kernel has none to give at the moment. */
  number(path: string): number | null {
    const reading = this.read(path);
    return reading.kind === "text" && /^-?\d+$/.test(reading.text) ? Number(reading.text) : null;
  }

  /** Sorted names in a folder; undefined when it is not there. */
  names(path: string): string[] | undefined {
    try {
      return readdirSync(path).toSorted();
    } catch (error) {
      if (gone.has(errno(error))) return undefined;
      throw new TaplineError("HOST_UNREADABLE", { path, detail: errno(error) }, { cause: error });
    }
  }

  /** The last part of a link's target, as sysfs names drivers and buses; undefined when there is no link. */
  target(path: string): string | undefined {
    try {
      return basename(readlinkSync(path));
    } catch (error) {
      if (gone.has(errno(error)) || errno(error) === "EINVAL") return undefined; // EINVAL: no link
      throw new TaplineError("HOST_UNREADABLE", { path, detail: errno(error) }, { cause: error });
    }
  }

  /** The folder behind a link; undefined when it leads nowhere. */
  real(path: string): string | undefined {
    try {
      return realpathSync(path);
    } catch (error) {
      if (gone.has(errno(error))) return undefined;
      throw new TaplineError("HOST_UNREADABLE", { path, detail: errno(error) }, { cause: error });
    }
  }

  /** The errno's name when the kernel refused, undefined when it took the text. Never makes a file. */
  write(path: string, text: string): string | undefined {
    try {
      const file = openSync(path, constants.O_WRONLY | constants.O_TRUNC);
      try {
        writeSync(file, text);
      } finally {
        closeSync(file);
      }
      return undefined;
    } catch (error) {
      return errno(error);
    }
  }
}
