// What an interface was like before `tapline tune --apply`. Enters and leaves: one small file, replaced as a whole, so that
// a crash leaves the old one or the new one.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";

const value = z.union([z.number(), z.boolean(), z.string()]);
const schema = z.strictObject({
  version: z.literal(1),
  interface: z.string(),
  changes: z.array(
    z.strictObject({
      /** as in a plan: ring.rx, feature.rx-gro, irq.45 */
      key: z.string(),
      /** what restoring brings back */
      before: value,
      /** what tapline set; any other value is somebody else's */
      set: value,
    }),
  ),
});
export type TuneState = z.infer<typeof schema>;
export type SavedChange = TuneState["changes"][number];

/** The changes of a file that is not there are none. */
export function readState(path: string, name: string): readonly SavedChange[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new TaplineError("TUNE_STATE_UNREADABLE", { path, detail: message }, { cause: error });
  }
  const unreadable = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("TUNE_STATE_UNREADABLE", { path, detail }, { cause });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw unreadable("it is not JSON", error);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw unreadable(z.prettifyError(parsed.error).replaceAll("\n", " "));
  if (parsed.data.interface !== name) throw unreadable(`it is of ${parsed.data.interface}, not of ${name}`);
  return parsed.data.changes;
}

/** Without changes there is nothing to remember, and no file. */
export function writeState(path: string, name: string, changes: readonly SavedChange[]): void {
  try {
    if (changes.length === 0) {
      rmSync(path, { force: true });
      return;
    }
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const state: TuneState = { version: 1, interface: name, changes: [...changes] };
    const fresh = `${path}.${process.pid}`;
    const file = openSync(fresh, "w", 0o644);
    try {
      writeSync(file, `${JSON.stringify(state, undefined, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(fresh, path);
  } catch (error) {
    throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (error as Error).message }, { cause: error });
  }
}
