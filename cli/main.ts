// The command: typed words → one command's module → exit code. 0 done, 1 an error, 2 not understood, 130 interrupted.
import { commands } from "./commands.ts";
import { explain } from "./problem.ts";

// `tapline flows … | head` closes the pipe: that is the reader's choice, not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await commands((code) => (process.exitCode = code)).parseAsync();
} catch (error) {
  const { text, exitCode } = explain(error);
  if (text !== "") process.stderr.write(`${text}\n`);
  process.exitCode = exitCode;
}
