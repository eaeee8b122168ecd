"""Enters: a capture file. Leaves: every counter of docs/semantics.md as JSON, computed from what tshark prints, the slow and obvious way:
one dict of pending numbers and one of lost ones per flow. Usage: oracle.py FILE [settle seconds] [idle seconds]"""
import json, subprocess, sys
from collections import Counter
WINDOW, FAR, NEAR, WRAP = 1024, 3000, 64, 1 << 32
SETTLE, IDLE = (int(float(a) * 10**9) for a in (sys.argv[2:] + ["2", "60"][len(sys.argv) - 2:])[:2])
LINK = {"eth", "ethertype", "sll", "raw", "vlan", "ieee8021ad", "ipv6.hopopts", "ipv6.fraghdr", "ipv6.dstopts", "ipv6.routing"}
FIELDS = """frame.time_epoch frame.len frame.protocols eth.src sll.src.eth ieee8021ad.svid ieee8021ad.cvid ieee8021ad.id vlan.id
  macsec.TCI macsec.AN macsec.PN macsec.SCI.system_identifier macsec.SCI.port_identifier ip.src ip.dst ip.frag_offset ipv6.src ipv6.dst
  ipv6.fraghdr.offset esp.spi esp.sequence ah.spi ah.sequence tcp.srcport tcp.dstport udp.srcport udp.dstport udp.length""".split()

def classify(f):  # key and number, or the reason why there is none; f: field → its values, outermost first
    layers = f["frame.protocols"][0].split(":") + [""] * 4
    chain = [p for p in layers if p not in LINK]
    outer = layers[:layers.index(chain[0])]  # a MACsec frame in the clear may have VLAN tags inside, too
    tagged = outer.count("vlan") + outer.count("ieee8021ad") + len(f["ieee8021ad.svid"])
    key = {"protocol": chain[0], "vlans": [int(i) for i in sum((f[name] for name in FIELDS[5:9]), [])[:min(2, tagged)]]}
    if chain[0] == "macsec":
        tci = int(f["macsec.TCI"][0], 0)  # V ES SC SCB E C
        implicit = (f["eth.src"] or f["sll.src.eth"]), [0 if tci & 4 else 1]
        mac, port = (f["macsec.SCI.system_identifier"], f["macsec.SCI.port_identifier"]) if tci & 8 else implicit
        key |= {"sci": f"{mac[0].replace(':', '')}{int(port[0]):04x}", "an": int(f["macsec.AN"][0], 0)}
        return "macsec_not_data" if tci & 3 == 2 else (key, int(f["macsec.PN"][0]))
    if chain[0] not in ("ip", "ipv6"): return chain[0] if chain[0] in ("arp", "eapol") else "other_ethertype"
    if any(map(int, f["ip.frag_offset" if chain[0] == "ip" else "ipv6.fraghdr.offset"][:1])): return "fragment"
    kind, key["destination"] = chain[3 if chain[2] == "udpencap" else 1], f[chain[0] + ".dst"][0]
    if kind in ("esp", "ah"): return key | {"protocol": kind, "spi": int(f[kind + ".spi"][0], 0)}, int(f[kind + ".sequence"][0])
    if chain[2] == "udpencap": return "ike" if kind else "natt_keepalive" if f["udp.length"] == ["9"] else "undecodable"
    if kind not in ("tcp", "udp"): return "icmp" if kind in ("icmp", "icmpv6") else "other_ip_protocol"
    source, ports = f[chain[0] + ".src"][0], [int(f[f"{kind}.{side}port"][0]) for side in ("src", "dst")]
    return key | {"protocol": kind, "source": source, "ports": ports}, None
class Flow:
    def __init__(self, key, n, packet, clock, tomb):
        self.out, self.gaps, self.hi, self.held = key | {"packet": packet, "first_time": clock}, [], None, None
        self.sums = Counter(dict.fromkeys("packets bytes expected unique reordered duplicate late lost jumps outliers restarts".split(), 0))
        if n is not None: self.open(n, n - 1) if tomb is None else self.open(tomb + 1, tomb, floor=tomb + 1)
    def open(self, base, hi, floor=0):  # a segment: the flow itself, or what follows a restart
        self.base, self.hi, self.floor, self.pending, self.lost, self.jumps = base, hi, floor, {}, {}, []
    def lose(self, numbers, now):
        for n in numbers: self.lost[n] = (self.pending[n], min(self.pending.pop(n) + SETTLE, now))
    def close(self, now):  # the segment ends
        self.lose(list(self.pending), now)
        gaps = list(self.jumps)
        for n, (noticed, confirmed) in sorted(self.lost.items()):
            if n - 1 not in self.lost: gaps.append([n, n, noticed, confirmed, False])
            gaps[-1][1], gaps[-1][3] = n, max(gaps[-1][3], confirmed)
        self.gaps += sorted(gaps)
        self.out = {"first_number": self.base} | self.out | {"last_number": self.hi}
        self.sums.update(expected=self.hi - self.base + 1, lost=sum(g[1] - g[0] + 1 for g in gaps))
    def arrive(self, n, t):  # the steps of semantics.md; False: an invalid zero
        self.lose([m for m, noticed in self.pending.items() if t - noticed >= SETTLE], t)
        h = self.held = self.held if self.held and t - self.held["t"] < SETTLE else None
        d = (n - self.hi + WRAP // 2) % WRAP - WRAP // 2
        v, rewound = self.hi + d, n < FAR < abs(d) and WRAP - self.hi % WRAP > FAR
        if n == 0 and not (v > 0 and -WINDOW < d <= FAR): return False
        if h and not h["rewound"] and self.hi < h["v"] < v <= h["v"] + NEAR:
            if h["v"] > self.hi + 1: self.jumps.append([self.hi + 1, h["v"] - 1, h["t"], t, True])
            self.sums.update({"jumps": 1, "unique": 1, h["unless"]: -1})
            self.hi, self.held, d, rewound = h["v"], None, v - h["v"], False
        elif h and h["rewound"] and rewound and 1 <= abs(n - h["n"]) <= NEAR:
            self.close(t)
            self.open(min(n, h["n"]), max(n, h["n"]))
            self.pending, self.held = dict.fromkeys(range(self.base + 1, self.hi), t), None
            self.sums.update({"restarts": 1, "unique": 2, "reordered": int(n < h["n"]), h["unless"]: -1})
            return True
        if d > FAR or rewound:  # held, and counted at once as what it is unless confirmed
            self.held = {"rewound": rewound, "n": n, "v": v, "t": t, "unless": "late" if d < 0 else "outliers"}
            self.sums[self.held["unless"]] += 1
        elif v < max(self.floor, self.hi - WINDOW + 1) or v in self.lost or any(a <= v <= b for a, b, *_ in self.jumps): self.sums["late"] += 1
        elif v > self.hi or v < self.base:
            self.pending |= dict.fromkeys(range(self.hi + 1, v) if v > self.hi else range(v + 1, self.base), t)
            self.sums.update(unique=1, reordered=int(v < self.base))
            self.base, self.hi = min(v, self.base), max(v, self.hi)
            self.lose([m for m in self.pending if m <= self.hi - WINDOW], t)
        else: self.sums.update(["duplicate"] if self.pending.pop(v, None) is None else ["unique", "reordered"])
        return True
    def end(self, now):
        if self.hi is not None: self.close(min(now, self.last + IDLE))
        ended = {"evicted": now - self.last > IDLE, "last_time": self.last, "gaps": len(self.gaps), "gap_list": self.gaps}
        return self.out | self.sums | ended | {"max_gap": max((g[1] - g[0] + 1 for g in self.gaps), default=0)}

off = "ip.defragment ipv6.defragment tcp.desegment_tcp_streams tcp.analyze_sequence_numbers esp.do_esp_sequence_analysis".split()
command = ["tshark", "-nr", sys.argv[1], "-Tfields", "-Eoccurrence=a", *(f"-o{name}:FALSE" for name in off), *("-e" + name for name in FIELDS)]
flows, tombs, totals, done, clock = {}, {}, Counter(), [], 0
for packet, line in enumerate(subprocess.run(command, capture_output=True, text=True).stdout.splitlines(), 1):
    f = {name: [v for v in values.split(",") if v] for name, values in zip(FIELDS, line.split("\t"))}
    clock = max(clock, int(f["frame.time_epoch"][0].replace(".", "")))  # tshark prints nine decimals
    try: found = classify(f)
    except (ValueError, IndexError): found = "undecodable"
    if isinstance(found, tuple):
        (key, n), name, found = found, str(found[0]), "invalid_number"
        if name in flows and clock - flows[name].last > IDLE:
            tombs[name] = flows[name].hi
            done.append(flows.pop(name).end(clock))
        flow = flows.get(name) or Flow(key, n, packet, clock, tombs.get(name))
        if n is None or flow.arrive(n, clock):
            flows[name], flow.last, found = flow, clock, key["protocol"]
            flow.sums.update(packets=1, bytes=int(f["frame.len"][0]))
    totals[found] += 1
json.dump({"totals": totals, "flows": sorted(done + [flow.end(clock) for flow in flows.values()], key=lambda flow: flow["packet"])}, sys.stdout)
