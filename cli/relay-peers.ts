// Who else carries multicast from one interface to another, each with the settings that suit it best here.
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import { group, port, source } from "./relay-ends.ts";
import type { RelayPeerName } from "./relay-parts.ts";
import { relayCores, type NodeName, type RelayRig } from "./relay-rig.ts";
import type { Started } from "./started.ts";

/** Something that carries the rig's group from b0 to b1, and so on through every relay of the rig. */
export interface Forwarder {
  readonly name: string;
  /** said below the table */
  readonly settings: string;
  /** Packets are carried once this has come back. */
  readonly start: (rig: RelayRig, folder: string, signal: AbortSignal) => Promise<Carrying>;
}
/** It ends with its rig. */
export interface Carrying {
  /** what it knows of what it carried */
  readonly says?: () => Promise<unknown>;
}

const readyMs = 10_000;
const pollMs = 25;

async function until(what: string, of: Started, holds: () => boolean, signal: AbortSignal): Promise<void> {
  for (const late = performance.now() + readyMs; !holds(); await sleep(pollMs)) {
    signal.throwIfAborted();
    if (of.over || performance.now() > late) throw of.failure(what);
  }
}

/** One route of the kernel's own multicast routing, with its source: one without is made only when the first packets come, and
 * those are lost. The daemon joins, adds it and has no further part. */
async function smcrouteIn(rig: RelayRig, node: NodeName, folder: string, signal: AbortSignal): Promise<void> {
  const place = mkdtempSync(join(folder, "smcroute-"));
  const [into, out] = [`${node}0`, `${node}1`];
  const config = join(place, "smcroute.conf");
  writeFileSync(
    config,
    `phyint ${into} enable\nphyint ${out} enable\nmgroup from ${into} group ${group}\nmroute from ${into} source ${source} group ${group} to ${out}\n`,
  );
  const daemon = rig.start(node, [
    "smcrouted", "-n", "-N", "-s", "-f", config, "-P", join(place, "pid"), "-u", join(place, "socket"),
  ]); // biome-ignore format: one list
  const routed = (): boolean => rig.said(node, "cat", "/proc/net/ip_mr_cache").trim().split("\n").length > 1;
  await until("it made no route", daemon, routed, signal);
}

const smcroute: Forwarder = {
  name: "smcroute",
  settings: "smcrouted -n -N: one mroute in the kernel, its daemon idle",
  start: async (rig, folder, signal) => {
    for (const node of rig.relays) await smcrouteIn(rig, node, folder, signal);
    return {};
  },
};

const socat: Forwarder = {
  name: "socat",
  settings: "socat -u -b 65536 UDP4-RECV → UDP4-DATAGRAM, receive buffer 64 MiB, on the other core",
  start: async (rig, _, signal) => {
    for (const [i, node] of rig.relays.entries()) {
      const daemon = rig.start(
        node,
        [
          "socat", "-u", "-b", "65536",
          `UDP4-RECV:${port},bind=${group},reuseaddr,ip-add-membership=${group}:${node}0,rcvbuf-late=${64 << 20}`,
          `UDP4-DATAGRAM:${group}:${port},ip-multicast-if=10.0.${i + 2}.1,ip-multicast-ttl=16,ip-multicast-loop=0,sndbuf-late=${16 << 20}`,
        ],
        relayCores.other,
      ); // biome-ignore format: one list
      await until(
        "it did not join",
        daemon,
        () => rig.said(node, "cat", "/proc/net/igmp").includes("010101EF"),
        signal,
      );
    }
    return {};
  },
};

const peers: Readonly<Record<RelayPeerName, Forwarder>> = { smcroute, socat };
/** programs that each needs, and Debian's packages of them */
const tools: Readonly<Record<RelayPeerName, readonly [string, string]>> = {
  smcroute: ["smcrouted", "smcroute"],
  socat: ["socat", "socat"],
};

/** Looks first whether what it needs is there: a round is not begun for nothing. */
export function relayPeer(name: RelayPeerName): Forwarder {
  const [tool, packaged] = tools[name];
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  if (!folders.some((folder) => existsSync(join(folder, tool))))
    throw new TaplineError("TOOL_MISSING", { tool, detail: `it is not on the PATH (Debian: ${packaged})` });
  return peers[name];
}
