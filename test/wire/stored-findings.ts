// Prints what a fleet's stream holds, a line of JSON for each batch, and ends. Runs inside a namespace, where the test itself cannot connect.
// Enters: the server's URL and the fleet's name.
import { connect } from "nats";
import { findingBatch } from "#domain/finding.ts";
import { findingStream, parseSubject } from "#domain/subjects.ts";

const [servers = "", fleet = ""] = process.argv.slice(2);
const session = await connect({ servers });
const manager = await session.jetstreamManager();
const stream = findingStream(fleet);
const { state } = await manager.streams.info(stream);
for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
  const message = await manager.streams.getMessage(stream, { seq });
  const { node } = parseSubject(message.subject) ?? {};
  process.stdout.write(`${JSON.stringify({ node, ...findingBatch.parse(message.json()) })}\n`);
}
await session.close();
