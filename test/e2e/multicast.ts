// Multicast on a machine's link: a sender and a receiver as applications have them, and a watcher that sees every frame.
// A receiver alone proves little: Linux gives a group's datagrams to a socket whichever link they came by.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Machine } from "./cluster/machine.ts";

const group = "239.7.7.7";
const port = 7777;

export interface Hearing {
  /** once the time is over */
  readonly heard: Promise<number>;
}

/** Datagrams that an application gets which joined the group on the link with this address. */
export async function receive(machine: Machine, address: string, milliseconds: number): Promise<Hearing> {
  const script = `const s = require('dgram').createSocket({ type: 'udp4', reuseAddr: true }); let n = 0;
    s.on('message', () => n++).bind(${port}, '${group}', () => { s.addMembership('${group}', '${address}'); console.log('ready'); });
    setTimeout(() => { console.log(n); process.exit(0) }, ${milliseconds})`;
  const child = spawn(...machine.enter(process.execPath, "-e", script), { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const heard = once(child, "close").then(() => Number(said.trim().split("\n").at(-1)));
  await once(child.stdout, "data");
  return { heard };
}

/** Frames of the group that arrive on a link, whether anybody there wants them or not. */
export async function watch(machine: Machine, link: string, milliseconds: number): Promise<Hearing> {
  const filter = ["-Q", "in", "-nn", "-l", "--immediate-mode", "-i", link, `udp and dst ${group} and port ${port}`];
  const child = spawn(...machine.enter("tcpdump", ...filter), { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const heard = once(child, "close").then(() => said.split(` > ${group}.`).length - 1);
  // Its first words are: listening on …
  await once(child.stderr, "data");
  setTimeout(() => child.kill("SIGINT"), milliseconds);
  return { heard };
}

export async function send(machine: Machine, address: string, count: number): Promise<void> {
  const script = `const s = require('dgram').createSocket('udp4'); let left = ${count};
    s.bind(0, '${address}', () => { s.setMulticastInterface('${address}'); s.setMulticastTTL(4);
      const next = () => s.send('x', ${port}, '${group}', () => --left > 0 ? setTimeout(next, 1) : s.close()); next(); })`;
  const child = spawn(...machine.enter(process.execPath, "-e", script), { stdio: "inherit" });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`the sender on ${machine.name} ended with ${code}`);
}
