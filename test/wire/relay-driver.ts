// The relay's engines in a process of its own, inside a namespace, without the agent: does what it is told, and beats its heart.
// Enters: a line of JSON per command; addresses, MACs and keys are hex text. Leaves: a line of JSON per answer, in the same order.
import { createInterface } from "node:readline";
import { openKernelRelay, type KernelRelay, type KernelRelayOptions, type RelayPlan } from "#native/relay.ts";

export type Command =
  | { readonly do: "open"; readonly options: KernelRelayOptions }
  | { readonly do: "apply"; readonly plan: RelayPlan }
  | { readonly do: "churn"; readonly plans: readonly RelayPlan[]; readonly times: number }
  | { readonly do: "probe"; readonly ifindex: number }
  | { readonly do: "trace"; readonly rule: string; readonly packets: number }
  | { readonly do: "beat"; readonly on: boolean }
  | { readonly do: "figures" | "traces" | "close" | "uninstall" };

let relay: KernelRelay | undefined;
const opened = (): KernelRelay => {
  if (relay === undefined) throw new Error("not open");
  return relay;
};
let beat = setInterval(() => relay?.heartbeat(), 250);

function obey(command: Command): unknown {
  switch (command.do) {
    case "open":
      relay = openKernelRelay(command.options);
      return { adopted: relay.adopted, upgraded: relay.upgraded, observed: relay.observed };
    case "apply":
      return opened().apply(command.plan);
    case "churn":
      for (let i = 0; i < command.times; i++) {
        const plan = command.plans[i % command.plans.length];
        if (plan !== undefined) opened().apply(plan);
      }
      return null;
    case "probe":
      return opened().probe(command.ifindex);
    case "trace":
      return opened().trace(command.rule, command.packets);
    case "beat":
      clearInterval(beat);
      if (command.on) beat = setInterval(() => relay?.heartbeat(), 250);
      return null;
    case "figures":
      return opened().figures();
    case "traces":
      return opened().takeTraces();
    case "close":
      return opened().close();
    case "uninstall":
      return opened().uninstall();
  }
}

const hex = /^hex:([0-9a-f]*)$/;
const parsed = (line: string): Command =>
  JSON.parse(line, (_, value: unknown) => {
    const bytes = typeof value === "string" ? hex.exec(value)?.[1] : undefined;
    return bytes === undefined ? value : Uint8Array.from(Buffer.from(bytes, "hex"));
  }) as Command;
const text = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === "bigint") return one.toString();
    return one instanceof Uint8Array ? `hex:${Buffer.from(one).toString("hex")}` : one;
  });

for await (const line of createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${text({ value: obey(parsed(line)) ?? null })}\n`);
  } catch (error) {
    const { code, detail } = error as { code?: string; detail?: string };
    process.stdout.write(`${text({ error: { code, detail, text: String(error) } })}\n`);
  }
}
clearInterval(beat);
