// The networks between the machines.
//   nodes    172.31.0.0/24   the control machine's bridge `nodes`; every node's eth0 leads there
//   pods     10.244.N.0/24   on node N, routed by every other machine
//   services 10.96.0.0/16    kube-proxy's
//   fabric   192.168.N.0/24  a veth pair from node N to the next, as to-node2 on node1 and to-node1 on node2; from three nodes
//                            on the last is joined with the first. No bridge: a multicast frame goes to that neighbour and no further.
import type { Machine } from "./machine.ts";

export const controlAddress = "172.31.0.1";
export const nodeAddress = (node: number): string => `172.31.0.${10 + node}`;
export const podRange = (node: number): string => `10.244.${node}.0/24`;
export const podRanges = "10.244.0.0/16";
export const serviceRange = "10.96.0.0/16";
export const apiService = "10.96.0.1";
export const dnsService = "10.96.0.10";
/** so many fit into what is written above, and the machine would be full long before */
export const mostNodes = 16;

export interface FabricLink {
  readonly network: string;
  /** node numbers, from 1 */
  readonly ends: readonly [number, number];
}

export function fabric(nodes: number): FabricLink[] {
  const count = nodes < 3 ? nodes - 1 : nodes;
  return Array.from({ length: count }, (_, index) => ({
    network: `192.168.${index + 1}`,
    ends: [index + 1, ((index + 1) % nodes) + 1],
  }));
}

/** Each machine gets one batch for `ip`, as all that is needed from elsewhere is a pid. */
export async function wire(control: Machine, nodes: readonly Machine[], signal: AbortSignal): Promise<void> {
  const node = (number: number): Machine => nodes[number - 1] as Machine;
  const routes = nodes.map((_, index) => `route add ${podRange(index + 1)} via ${nodeAddress(index + 1)}`);
  await control.run(["ip", "-batch", "-"], {
    signal,
    input: lines(
      "link add nodes type bridge",
      `address add ${controlAddress}/24 dev nodes`,
      "link set nodes up",
      ...nodes.flatMap(({ name, pid }) => [
        `link add ${name} type veth peer name eth0 netns ${pid}`,
        `link set ${name} master nodes up`,
      ]),
      ...routes,
    ),
  });
  for (const { network, ends } of fabric(nodes.length)) {
    const [from, to] = [node(ends[0]), node(ends[1])];
    await from.run(["ip", "-batch", "-"], {
      signal,
      input: lines(
        `link add to-${to.name} type veth peer name to-${from.name} netns ${to.pid}`,
        `address add ${network}.${ends[0]}/24 dev to-${to.name}`,
        `link set to-${to.name} up`,
      ),
    });
    await to.run(["ip", "-batch", "-"], {
      signal,
      input: lines(`address add ${network}.${ends[1]}/24 dev to-${from.name}`, `link set to-${from.name} up`),
    });
  }
  await Promise.all(
    nodes.map(async (machine, index) => {
      await machine.run(["ip", "-batch", "-"], {
        signal,
        input: lines(
          `address add ${nodeAddress(index + 1)}/24 dev eth0`,
          "link set eth0 up",
          // Services' addresses need a route before kube-proxy changes them; nothing beyond the control machine is reached.
          `route add default via ${controlAddress}`,
          ...routes.filter((_, other) => other !== index),
        ),
      });
      await machine.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], { signal });
    }),
  );
}

const lines = (...commands: string[]): string => `${commands.join("\n")}\n`;
