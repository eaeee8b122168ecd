// The plan for an interface that is captured on. Enters: what the interface, its driver and the machine say. Leaves: each
// setting with its value now, the wanted one and why; nothing is changed here (that is tune-apply.ts).
import { merging, harmless, segmenting } from "./ethtool-values.ts";
import { supported } from "./ethtool.ts";
import { cpusOf, type TuneFacts } from "./tune-facts.ts";

export type TuneValue = number | boolean | string;

/** One value to be set; `key` says where: ring.rx, feature.rx-gro, coalesce.rxUsecs, irq.45 */
export interface Change {
  readonly key: string;
  readonly before: TuneValue;
  readonly wanted: TuneValue;
}

export interface TuneItem {
  readonly what: string;
  readonly now: string;
  readonly wanted: string;
  readonly state: "as wanted" | "to change" | "not applicable";
  /** why it is wanted, or does not apply */
  readonly reason: string;
  /** the same by hand; also where tapline cannot do it */
  readonly byHand: readonly string[];
  readonly changes: readonly Change[];
}

export interface TunePlan {
  readonly interface: string;
  readonly driver: string;
  readonly items: readonly TuneItem[];
  readonly warnings: readonly string[];
}

/** More descriptors than this only push the frames' data out of the processor's cache. */
const enoughDescriptors = 4096;
/** Microseconds that an interrupt may wait for more frames. */
const moderate = { least: 10, most: 100, chosen: 50 } as const;

const none = "–";
const onOff = (value: boolean): string => (value ? "on" : "off");

const asWanted = (what: string, now: string, reason: string): TuneItem => ({
  what, now, wanted: now, state: "as wanted", reason, byHand: [], changes: [],
}); // biome-ignore format: one row
const notApplicable = (what: string, now: string, reason: string, byHand: readonly string[] = []): TuneItem => ({
  what, now, wanted: none, state: "not applicable", reason, byHand, changes: [],
}); // biome-ignore format: one row

function ringItem({ interface: name, ethtool }: TuneFacts): TuneItem {
  const what = "receive ring";
  if ("notSupported" in ethtool.rings)
    return notApplicable(what, none, `the driver has no rings to size (${ethtool.rings.notSupported})`);
  const { rx, rxMax } = ethtool.rings.value;
  if (rx === undefined || rxMax === undefined || rxMax === 0)
    return notApplicable(what, none, "the driver does not say how long its receive ring is");
  const wanted = Math.min(rxMax, enoughDescriptors);
  if (rx >= wanted) {
    return asWanted(what, String(rx), rx === rxMax ? "the longest that the device has" : "room enough for a burst");
  }
  const bound = wanted < rxMax ? `; the device would take ${rxMax}, which only costs cache` : "";
  return {
    what,
    now: String(rx),
    wanted: String(wanted),
    state: "to change",
    reason: `room for a burst while the processor is busy: what finds no room is lost in the NIC${bound}`,
    byHand: [`ethtool -G ${name} rx ${wanted}`],
    changes: [{ key: "ring.rx", before: rx, wanted }],
  };
}

function mergingItems({ interface: name, ethtool }: TuneFacts): TuneItem[] {
  const features = supported(ethtool.features) ?? {};
  return merging.flatMap(({ feature, typed, words }): TuneItem[] => {
    const found = features[feature];
    if (found === undefined) return []; // another kernel's
    if (!found.active) return [asWanted(words, "off", "frames arrive as they were on the wire")];
    if (!found.changeable) {
      return [
        notApplicable(
          words,
          "on",
          "the driver keeps it on: merged frames may come, and are counted by what they were merged from",
        ),
      ];
    }
    return [
      {
        what: words,
        now: "on",
        wanted: "off",
        state: "to change",
        reason:
          "it merges packets before they are captured, which hides their sizes and all sequence numbers but the first",
        byHand: [`ethtool -K ${name} ${typed} off`],
        changes: [{ key: `feature.${feature}`, before: true, wanted: false }],
      },
    ];
  });
}

function segmentingItem({ ethtool }: TuneFacts): TuneItem {
  const what = "segmentation offload";
  const features = supported(ethtool.features) ?? {};
  const active = segmenting.filter(({ feature }) => features[feature]?.active === true);
  const now = onOff(active.length > 0);
  if (supported(ethtool.driver)?.name !== "veth")
    return asWanted(what, now, "left as it is: it concerns what this node sends, not what arrives");
  return notApplicable(
    what,
    now,
    "frames come through a veth as large as the other end sends them, so it is to be turned off there",
    [`ethtool -K <the other end> ${segmenting.map(({ typed }) => `${typed} off`).join(" ")}`],
  );
}

function harmlessItems({ ethtool }: TuneFacts): TuneItem[] {
  const features = supported(ethtool.features) ?? {};
  return harmless.flatMap(({ feature, words, because }) => {
    const found = features[feature];
    return found === undefined ? [] : [asWanted(words, onOff(found.active), because)];
  });
}

function coalesceItems({ interface: name, ethtool, virtioModeration }: TuneFacts): TuneItem[] {
  const [adaptive, delay] = ["adaptive interrupt delay", "interrupt delay"];
  if ("notSupported" in ethtool.coalesce)
    return [notApplicable(delay, none, `the driver has no interrupts to delay (${ethtool.coalesce.notSupported})`)];
  const { adaptiveRx, rxUsecs } = ethtool.coalesce.value;
  const items: TuneItem[] = [];
  if (adaptiveRx === false) items.push(asWanted(adaptive, "off", "a steady delay keeps arrival times comparable"));
  if (adaptiveRx === true) {
    items.push({
      what: adaptive,
      now: "on",
      wanted: "off",
      state: "to change",
      reason: "a delay that changes with the load blurs arrival times, and is longest when a burst begins",
      byHand: [`ethtool -C ${name} adaptive-rx off`],
      changes: [{ key: "coalesce.adaptiveRx", before: true, wanted: false }],
    });
  }
  if (rxUsecs === undefined) return items;
  const now = `${rxUsecs} µs`;
  if (rxUsecs >= moderate.least && rxUsecs <= moderate.most)
    return [...items, asWanted(delay, now, "frames share interrupts, and none waits long")];
  if (!virtioModeration)
    return [
      ...items,
      notApplicable(delay, now, "the virtual device offers no delay: its host decides when to interrupt"),
    ];
  return [
    ...items,
    {
      what: delay,
      now,
      wanted: `${moderate.chosen} µs`,
      state: "to change",
      reason:
        rxUsecs < moderate.least
          ? "frames that share an interrupt cost less; none waits longer than this"
          : "frames wait so long for their interrupt that the ring may fill meanwhile",
      byHand: [`ethtool -C ${name} rx-usecs ${moderate.chosen}`],
      changes: [{ key: "coalesce.rxUsecs", before: rxUsecs, wanted: moderate.chosen }],
    },
  ];
}

function interruptsItem({ virtual, nodes, node, nodeCpus, irqs }: TuneFacts): TuneItem {
  const what = "interrupts";
  if (virtual)
    return notApplicable(
      what,
      none,
      "an interface made of software has none; threaded NAPI or RPS moves its work instead",
    );
  if (irqs.length === 0)
    return notApplicable(what, none, "the device has no interrupts of its own that could be moved");
  const now = [...new Set(irqs.map(({ cpus }) => cpus))].join(" ");
  if (nodes.length === 1)
    return notApplicable(what, `CPU ${now}`, "this machine has one NUMA node: every CPU is as near");
  if (node === undefined || nodeCpus === undefined)
    return notApplicable(what, `CPU ${now}`, "the machine does not say which NUMA node the device is on");
  const near = cpusOf(nodeCpus);
  const astray = irqs.filter(({ cpus }) => ![...cpusOf(cpus)].every((cpu) => near.has(cpu)));
  if (astray.length === 0) return asWanted(what, `CPU ${now}`, `all on CPUs of the device's NUMA node, ${node}`);
  return {
    what,
    now: `CPU ${now}`,
    wanted: `CPU ${nodeCpus}`,
    state: "to change",
    reason: `${astray.length} of ${irqs.length} may run on CPUs of another NUMA node than the device's (${node}): each frame then crosses the link between them`,
    byHand: astray.map(({ irq }) => `echo ${nodeCpus} > /proc/irq/${irq}/smp_affinity_list`),
    changes: astray.map(({ irq, cpus }) => ({ key: `irq.${irq}`, before: cpus, wanted: nodeCpus })),
  };
}

/** Changes for which many drivers take the link down and up again. */
const resets = (key: string): boolean =>
  key.startsWith("ring.") || key === "feature.rx-lro" || key === "feature.rx-gro-hw";

function warningsFor({ interface: name, defaultRoute, addresses }: TuneFacts, items: readonly TuneItem[]): string[] {
  const keys = items.flatMap(({ changes }) => changes.map(({ key }) => key));
  const carries = [
    ...(defaultRoute ? ["the default route"] : []),
    ...(addresses.length > 0 ? [addresses.join(", ")] : []),
  ].join(" and ");
  if (carries === "") return [];
  const warnings: string[] = [];
  if (keys.some(resets)) {
    warnings.push(
      `${name} carries ${carries}: many drivers reset the link for a new ring size or hardware offload, and all its traffic, SSH too, stops for a moment`,
    );
  }
  if (keys.some((key) => key.startsWith("feature."))) {
    warnings.push(
      `${name} carries ${carries}: without receive offload, TCP that this node itself receives there costs it more processor time`,
    );
  }
  return warnings;
}

export function tunePlan(facts: TuneFacts): TunePlan {
  const items = [
    ringItem(facts),
    ...mergingItems(facts),
    segmentingItem(facts),
    ...harmlessItems(facts),
    ...coalesceItems(facts),
    interruptsItem(facts),
  ];
  const driver = supported(facts.ethtool.driver)?.name ?? "unknown";
  return { interface: facts.interface, driver, items, warnings: warningsFor(facts, items) };
}
