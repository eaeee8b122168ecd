// For tests: a folder of files that stands for /sys or /proc, gone with the test.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface Tree extends Disposable {
  readonly path: (name: string) => string;
  readonly read: (name: string) => string;
  readonly write: (name: string, text: string) => void;
  /** `to` is a name in the tree, too */
  readonly link: (name: string, to: string) => void;
}

export function tree(files: Readonly<Record<string, string>> = {}): Tree {
  const root = mkdtempSync(join(tmpdir(), "tapline-host-"));
  const path = (name: string): string => join(root, name);
  const made = (name: string): string => {
    mkdirSync(dirname(path(name)), { recursive: true });
    return path(name);
  };
  const write = (name: string, text: string): void => writeFileSync(made(name), text);
  for (const [name, text] of Object.entries(files)) write(name, text);
  return {
    path,
    write,
    read: (name) => readFileSync(path(name), "utf8"),
    link: (name, to) => symlinkSync(path(to), made(name)),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}
