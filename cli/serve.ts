// tapline serve: the API on one database until Ctrl-C.
import { serve } from "#api/server.ts";
import { interruption } from "./interruption.ts";

export interface ServeArguments {
  readonly db: string;
  readonly port: number;
  readonly host: string;
  readonly tokenFile?: string;
}

export async function serveUntilStopped(options: ServeArguments): Promise<number> {
  using stop = interruption();
  const server = await serve(options);
  const auth = options.tokenFile === undefined ? "" : ` -H "Authorization: Bearer $(cat ${options.tokenFile})"`;
  const example = (path: string): string => `  curl -s${auth} '${server.url}${path}'\n`;
  process.stdout.write(
    `Serving ${options.db} at ${server.url} (all of it: ${server.url}/api/docs). Ctrl-C ends it. Try:\n\n` +
      example("/api/v1/stats/summary") +
      example("/api/v1/flows?filter=lost%3E0&sort=-lost&limit=5") +
      example("/api/v1/ledger"),
  );
  await stop.requested;
  await server.close();
  return 0;
}
