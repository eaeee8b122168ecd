// Losses beside the ledger, on a real kernel: frames that nobody takes are counted by it, each one.
import { once } from "node:events";
import { expect, test } from "vitest";
import { HostFiles } from "#host/files.ts";
import { Losses } from "#host/losses.ts";
import { Network } from "../wire/network.ts";

test("frames dropped by the kernel are the ones that were sent, also after the interface was made again", async () => {
  await using network = await Network.create();
  // Whoever stands in the namespace has its /sys: it is read through that process's root.
  const standing = network.start(network.receiver, "sleep", "60");
  try {
    await once(standing, "spawn");
    const root = `/proc/${standing.pid}/root`;
    const files = new HostFiles({ sys: `${root}/sys`, proc: "/proc" });
    for (let i = 0; i < 200 && files.number(files.sys("class/net", network.far, "ifindex")) === null; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    await network.send("--packets", "100", "--flows", "5"); // before we look: not ours

    const losses = new Losses(files);
    const dropped = (): number | undefined => losses.interfaces([network.far])[0]?.kernel.rx_dropped;
    expect(dropped()).toBe(0);
    const first = await network.send("--packets", "1000", "--flows", "5");
    expect(dropped()).toBe(first.sent);

    await network.disconnect();
    expect(dropped()).toBe(first.sent);
    await network.connect();
    const second = await network.send("--packets", "2000", "--flows", "5");
    expect(dropped()).toBe(first.sent + second.sent);
    expect(losses.softnet().processed).toBeGreaterThanOrEqual(first.sent + second.sent);
  } finally {
    standing.kill();
    await once(standing, "exit");
  }
});
