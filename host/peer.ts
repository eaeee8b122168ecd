// Who is at the other end of a UNIX socket. Enters: a connected socket. Leaves: the process, its user and groups, as the kernel noted them at connect.
import type { Socket } from "node:net";
import { engine, type Peer } from "#native/engine.ts";

/** Node has no name for the descriptor; its handle has had this one since the beginning. -1 when it is closed already. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;

export const peerOf = (socket: Socket): Peer | null => engine().peer(descriptorOf(socket));

/** Root, this process's own user, and members of the group. */
export const mayAsk = ({ uid, gid, groups }: Peer, own: number, group: number | undefined): boolean =>
  uid === 0 || uid === own || (group !== undefined && (gid === group || groups.includes(group)));
