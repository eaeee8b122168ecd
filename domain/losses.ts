// Where packets are lost before they reach the ledger: in the NIC, or in the kernel on the way to our rings. They stand beside the ledger
// and are no part of its sums: no packet lost there was ever "seen". Closed lists, so that metrics have labels of closed values.
import { z } from "zod";

const keysOf = <Key extends string>(list: Record<Key, string>) => Object.keys(list) as [Key, ...Key[]];

/** Of an interface, by the kernel (/sys/class/net/X/statistics). Drivers differ in which they keep; some count one loss under two. */
export const interfaceLosses = {
  rx_missed_errors: "no room in the NIC: its queues' rings were full",
  rx_fifo_errors: "the NIC's own buffer overflowed",
  rx_over_errors: "a frame larger than its buffer, or an overrun of the ring",
  rx_dropped: "dropped by the driver or a full backlog; also what no protocol takes, unless it is captured",
  rx_nohandler: "came in on an inactive link of a bond",
  rx_crc_errors: "damaged on the wire",
} as const;
export const interfaceLossNames = keysOf(interfaceLosses);

/** Of an interface, by its driver (`ethtool -S`). Those kept by queue are summed. */
export const driverLosses = {
  bw_in_allowance_exceeded: "the cloud's limit of bytes in, for this kind of machine",
  bw_out_allowance_exceeded: "the cloud's limit of bytes out",
  pps_allowance_exceeded: "the cloud's limit of packets",
  conntrack_allowance_exceeded: "the cloud's limit of tracked connections",
  linklocal_allowance_exceeded: "the cloud's limit of packets to its local services",
  rx_out_of_buffer: "the NIC had no receive buffer: the ring is too small, or its CPU too slow",
  rx_discards_phy: "the port's buffer was full",
  rx_no_buffer_count: "the NIC had no receive buffer",
  rx_no_dma_resources: "the NIC had no receive descriptor",
  rx_steer_missed_packets: "no rule of the NIC's steering took it",
  rx_alloc_failed: "the driver got no memory for a receive buffer",
  rx_queue_drops: "dropped by the driver's receive queues",
  rx_xdp_drops: "dropped by an XDP program, or on its way",
} as const;
export type DriverLoss = keyof typeof driverLosses;
export const driverLossNames = keysOf(driverLosses);

/** Of the whole machine, by CPU (/proc/net/softnet_stat). */
export const softnetCounts = {
  dropped: "packets dropped because a CPU's backlog was full (net.core.netdev_max_backlog)",
  time_squeeze: "times a CPU ran out of its budget with packets left: no loss, but near it",
  flow_limit: "packets of one large flow dropped in its CPU's backlog",
} as const;

const count = z.int().min(0);

export const interfaceLossReport = z.object({
  interface: z.string(),
  kernel: z
    .partialRecord(z.enum(interfaceLossNames), count)
    .describe("since start; what the interface does not count is left out"),
  driver: z
    .partialRecord(z.enum(driverLossNames), count)
    .describe("since start; what the driver does not count is left out"),
});

const softnet = {
  processed: count,
  dropped: count.describe(softnetCounts.dropped),
  time_squeeze: count.describe(softnetCounts.time_squeeze),
  flow_limit: count.describe(softnetCounts.flow_limit),
};
export const softnetReport = z.object({
  ...softnet,
  cpus: z.array(z.object({ cpu: count, ...softnet })).describe("those that have any of the last three"),
});

export type InterfaceLossReport = z.infer<typeof interfaceLossReport>;
export type SoftnetReport = z.infer<typeof softnetReport>;
