// Multicast on a machine's link: a sender and listeners, each a Node process within.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Machine } from "./cluster/machine.ts";

const group = "239.7.7.7";
const port = 7777;

/** Datagrams of the group seen on an interface within the time; it joins there, and the address is the interface's. */
export async function listen(
  machine: Machine,
  address: string,
  milliseconds: number,
): Promise<{ heard: Promise<number> }> {
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

export async function send(machine: Machine, address: string, count: number): Promise<void> {
  const script = `const s = require('dgram').createSocket('udp4'); let left = ${count};
    s.bind(0, '${address}', () => { s.setMulticastInterface('${address}'); s.setMulticastTTL(4);
      const next = () => s.send('x', ${port}, '${group}', () => --left > 0 ? setTimeout(next, 1) : s.close()); next(); })`;
  const child = spawn(...machine.enter(process.execPath, "-e", script), { stdio: "inherit" });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`the sender on ${machine.name} ended with ${code}`);
}
