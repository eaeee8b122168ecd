// An interface's offloads by three names: the kernel's, the one a person types after `ethtool -K`, and in words.

export interface Offload {
  /** the kernel's, as in the ethtool family */
  readonly feature: string;
  /** as `ethtool -K` takes it */
  readonly typed: string;
  readonly words: string;
}

/** What makes one large frame of several that arrived, before a capture sees them. */
export const merging: readonly Offload[] = [
  { feature: "rx-gro", typed: "gro", words: "generic receive offload" },
  { feature: "rx-lro", typed: "lro", words: "large receive offload" },
  { feature: "rx-gro-hw", typed: "rx-gro-hw", words: "hardware receive offload" },
  { feature: "rx-gro-list", typed: "rx-gro-list", words: "receive offload by lists" },
  { feature: "rx-udp-gro-forwarding", typed: "rx-udp-gro-forwarding", words: "receive offload for UDP" },
];

/** What lets a sender hand down one large frame, to be cut later. */
export const segmenting: readonly Offload[] = [
  { feature: "tx-tcp-segmentation", typed: "tso", words: "TCP segmentation offload" },
  { feature: "tx-generic-segmentation", typed: "gso", words: "generic segmentation offload" },
  { feature: "tx-udp-segmentation", typed: "tx-udp-segmentation", words: "UDP segmentation offload" },
];

/** What a capture has no quarrel with. */
export const harmless: readonly (Offload & { readonly because: string })[] = [
  {
    feature: "rx-checksum",
    typed: "rx",
    words: "receive checksums",
    because: "left as it is: a checksum that was checked by the device changes nothing in the frame",
  },
  {
    feature: "rx-vlan-hw-parse",
    typed: "rxvlan",
    words: "VLAN tag offload",
    because: "left as it is: the tag then comes beside the frame, and is read from there",
  },
];

/** Counters by which drivers say that they, or the cloud around them, dropped what arrived. */
export const losses =
  /_allowance_exceeded$|^rx_(?:out_of_buffer|no_buffer_count|missed_errors|fifo_errors|discards?|dropped|drops|no_dma_resources|nobuf|buff_alloc_err|discards_phy)$/;

const others: Readonly<Record<string, string>> = {
  "ring.rx": "receive ring",
  "coalesce.adaptiveRx": "adaptive interrupt delay",
  "coalesce.rxUsecs": "interrupt delay, µs",
};

/** The key of a change in words, as the plan names it. */
export function settingWords(key: string): string {
  const offload = merging.find(({ feature }) => key === `feature.${feature}`);
  return offload?.words ?? others[key] ?? key.replace(/^irq\./, "interrupt ");
}
