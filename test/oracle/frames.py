"""Enters: patterns.jsonl and scapy. Leaves, in the folder named: captures that the project's own generator could not have made, and
expected.json: file → totals, and per flow (found by the number of its first packet) the counters worked out by hand."""
import json, random, struct, sys
from pathlib import Path
from scapy.contrib.macsec import MACsec, MACsecSA
from scapy.all import (AH, ARP, ESP, GRE, ICMP, IP, LLC, TCP, UDP, CookedLinux, Dot1AD, Dot1Q, Dot3, Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, SecurityAssociation)

OUT, START, NS, MARK = Path(sys.argv[1]), 1_700_000_000, 10**9, 0xDEADBEEF
DATA = Raw(b"not to be looked into, whatever it says")
HERE, THERE = "02:00:00:00:00:01", "02:00:00:00:00:02"
COUNTERS = "packets expected unique reordered duplicate late lost jumps outliers restarts".split()
expected = {}


def write(name, frames, link=1):
    """frames: (nanoseconds since START, bytes)"""
    with open(OUT / name, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, link))
        for time, frame in frames:
            file.write(struct.pack("<IIII", START + time // NS, time % NS, len(frame), len(frame)) + frame)


def record(packet, protocol, counters, **more):
    """One flow as expected. The gaps come last: their number, sum and largest follow from the list."""
    gaps = [[first, last, START * NS + round(noticed * NS), START * NS + round(confirmed * NS), jump]
            for first, last, noticed, confirmed, jump in counters.get("gaps", [])]
    sizes = [last - first + 1 for first, last, *_ in gaps]
    assert sum(sizes) == counters.get("lost", 0), counters
    return {"packet": packet, "protocol": protocol, **{name: counters.get(name, 0) for name in COUNTERS}, "first_number": counters.get("first"),
            "last_number": counters.get("last"), "gaps": len(gaps), "max_gap": max(sizes, default=0), "gap_list": gaps, **more}


# Patterns: each in five kinds of frame, every one a flow of its own. The frame comes from scapy, the number is written over MARK.

def mac(i):
    return f"02:10:00:00:{i >> 8:02x}:{i & 255:02x}"


def sci(i, port):
    return bytes.fromhex(mac(i).replace(":", "")) + struct.pack(">H", port)


KINDS = {
    "macsec, explicit SCI": ("macsec", lambda i: Ether(src=HERE, dst=THERE) / MACsec(SC=1, E=1, C=1, AN=i % 4, PN=MARK, SCI=sci(i, 7)) / DATA),
    "macsec, implicit SCI, VLAN": ("macsec", lambda i: Ether(src=mac(i), dst=THERE) / Dot1Q(vlan=9, type=0x88E5) / MACsec(ES=1, E=1, C=1, AN=3, PN=MARK) / DATA),
    "esp, IPv6": ("esp", lambda i: Ether(src=HERE, dst=THERE) / IPv6(src="fd00::1", dst="fd00::2") / ESP(spi=0x1000 + i, seq=MARK, data=bytes(DATA))),
    "ah, IPv4": ("ah", lambda i: Ether(src=HERE, dst=THERE) / IP(src="10.0.0.1", dst="10.0.0.2") / AH(spi=0x2000 + i, seq=MARK, icv=b"x" * 12, payloadlen=4, nh=17) / UDP(dport=9) / DATA),
    "esp, NAT-T": ("esp", lambda i: Ether(src=HERE, dst=THERE) / IP(src="10.0.0.1", dst="10.0.0.3") / UDP(sport=4500, dport=4500, chksum=0) / ESP(spi=0x3000 + i, seq=MARK, data=bytes(DATA))),
}


def schedule(text):
    """Yields (ns since the start, number, starts a record)"""
    time, step, starts = -10**6, 10**6, False
    for word in text.split():
        if word == "|":
            starts = True
            continue
        if word[0] == "+":
            step = round(float(word[1:]) * NS)
            continue
        first, _, last = word.partition("..")
        for number in range(int(first, 0), int(last or first, 0) + 1):
            time, step = time + step, 10**6
            yield time, number, starts
            starts = False


def patterns(group, end, evicted):
    frames, records, totals = [], [], {"arp": 1}
    lines = map(json.loads, Path(__file__).with_name("patterns.jsonl").read_text().splitlines())
    for index, pattern in enumerate(line for line in lines if line.get("capture") == group):
        for kind, (protocol, build) in KINDS.items():
            template, place = bytes(build(index)), struct.pack(">I", MARK)
            assert template.count(place) == 1
            taken = sum(r["packets"] for r in pattern["records"])
            totals[protocol] = totals.get(protocol, 0) + taken
            totals["invalid_number"] = totals.get("invalid_number", 0) + pattern.get("invalid", 0)
            left = list(pattern["records"])
            assert len(list(schedule(pattern["numbers"]))) == taken + pattern.get("invalid", 0), pattern["name"]
            for time, number, starts in schedule(pattern["numbers"]):
                first = left.pop(0) if starts or (number and len(left) == len(pattern["records"])) else None
                name = f"{pattern['name']} ({kind})"
                frames.append((time, template.replace(place, struct.pack(">I", number)), (name, protocol, first) if first else None))
    frames.sort(key=lambda frame: frame[0])
    frames.append((end, bytes(Ether() / ARP()), None))
    for packet, (_, _, first) in enumerate(frames, 1):
        if first:
            records.append(record(packet, first[1], first[2], name=first[0], evicted=evicted))
    write(f"{group}.pcap", [frame[:2] for frame in frames])
    expected[f"{group}.pcap"] = {"totals": totals, "flows": records}


# Headers: each frame with what it must count as: a reason, or a flow's name. The counters of the flows follow.

def capture(name, rows, flows, link=1, times=None):
    packets, totals, frames = {}, {}, []
    for packet, (frame, what) in enumerate(rows, 1):
        frames.append((times[packet - 1] if times else packet * 10**6, bytes(frame)))
        if what in flows:
            packets.setdefault(what, packet)
            what = flows[what]["protocol"]
        totals[what] = totals.get(what, 0) + 1
    write(name, frames, link)
    expected[name] = {"totals": totals, "flows": [record(packets[flow], counters["protocol"], counters, name=flow, evicted=False, key=counters["key"]) for flow, counters in flows.items()]}


def flow(protocol, packets, first=None, last=None, key=None, **counters):
    """A flow in order and whole, but for what is named. key: what the database must show"""
    whole = {} if first is None else {"first": first, "last": last, "expected": last - first + 1, "unique": packets}
    return {"protocol": protocol, "packets": packets, "key": key or {}, **whole, **counters}


def secured(sa, number, inner):
    sa.pn = number
    return sa.encrypt(sa.encap(inner))


def ethernet():
    e, ip, ip6 = Ether(src=HERE, dst=THERE), IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
    inner = e / ip / UDP(sport=1, dport=2) / DATA
    plain = MACsecSA(sci=b"\x02\xaa\x00\x00\x00\x01\x00\x05", an=0, pn=1, key=b"k" * 16, icvlen=16, encrypt=1, send_sci=1)
    rekeyed = MACsecSA(sci=b"\x02\xaa\x00\x00\x00\x01\x00\x05", an=1, pn=1, key=b"l" * 16, icvlen=16, encrypt=1, send_sci=1)
    integrity = MACsecSA(sci=b"\x02\xaa\x00\x00\x00\x02\x00\x01", an=2, pn=1, key=b"k" * 16, icvlen=16, encrypt=0, send_sci=1)
    xpn = MACsecSA(sci=b"\x02\xaa\x00\x00\x00\x03\x00\x01", an=3, pn=1, key=b"k" * 16, icvlen=16, encrypt=1, send_sci=1, xpn_en=True, ssci=b"\0\0\0\1", salt=b"s" * 12)
    gcm = SecurityAssociation(ESP, spi=0xC0DE, crypt_algo="AES-GCM", crypt_key=b"k" * 16 + b"salt")
    tunnel = SecurityAssociation(ESP, spi=0xC0DF, crypt_algo="AES-CBC", crypt_key=b"k" * 16, auth_algo="HMAC-SHA1-96", auth_key=b"a" * 20, tunnel_header=IPv6(src="2001:db8::9", dst="2001:db8::a"))
    natt = SecurityAssociation(ESP, spi=0xC0E0, crypt_algo="AES-GCM", crypt_key=b"k" * 16 + b"salt", nat_t_header=UDP(sport=4500, dport=61234))
    ah = SecurityAssociation(AH, spi=0xC0E1, auth_algo="HMAC-SHA1-96", auth_key=b"a" * 20)
    ah6 = SecurityAssociation(AH, spi=0xC0E2, auth_algo="SHA2-256-128", auth_key=b"a" * 32)
    esp = lambda seq: ip / ESP(spi=0xF00D, seq=seq, data=b"d" * 20)
    short = lambda number: e / MACsec(SC=1, E=1, C=1, AN=0, SL=20, PN=number, SCI=b"\x02\xaa\x00\x00\x00\x04\x00\x01") / Raw(b"s" * 36)
    natt_udp = e / ip / UDP(sport=4500, dport=4500)
    rows = [(secured(plain, n, inner), "scapy's own MACsec") for n in (1, 2, 4, 3)]
    rows += [(secured(rekeyed, n, inner), "a rekey: AN 1") for n in (1, 2)]
    rows += [(secured(integrity, n, e / Dot1Q(vlan=77) / ip / TCP(sport=1, dport=2) / DATA), "integrity only: readable inside, tags and all") for n in (10, 11)]
    rows += [(secured(xpn, n, inner), "XPN over the wrap") for n in (0xFFFFFFFF, 0x100000000, 0x100000002)]
    rows += [(short(n), "a short frame, SL set") for n in (1, 2)]
    rows += [(e / MACsec(ES=1, E=1, C=1, PN=5) / DATA, "ES: port 1"), (e / MACsec(ES=1, SCB=1, E=1, C=1, PN=6) / DATA, "SCB: port 0"),
             (e / MACsec(SCB=1, E=1, C=1, PN=7) / DATA, "SCB: port 0"), (e / MACsec(E=1, C=1, PN=6) / DATA, "ES: port 1"),
             (e / MACsec(E=0, C=1, AN=1, PN=9) / DATA, "C without E is data"), (e / MACsec(E=1, C=0, PN=7) / DATA, "macsec_not_data"),
             (e / MACsec(SC=1, E=1, C=0, PN=5, SCI=b"\x02\xaa\x00\x00\x00\x01\x00\x05") / DATA, "macsec_not_data"), (e / MACsec(ES=1, E=1, C=1, PN=0) / DATA, "invalid_number")]
    rows += [(e / Dot1Q(vlan=5, prio=7) / MACsec(ES=1, E=1, C=1, PN=n) / DATA, "MACsec in VLAN 5") for n in (1, 2)]
    rows += [(e / gcm.encrypt(ip / TCP(sport=1, dport=2) / DATA, seq_num=n), "ESP transport, AES-GCM") for n in (1, 3)]
    rows += [(e / tunnel.encrypt(ip / UDP(sport=1, dport=2) / DATA, seq_num=n), "ESP tunnel over IPv6") for n in (7, 8)]
    rows += [(e / natt.encrypt(ip / TCP(sport=1, dport=2) / DATA, seq_num=n), "ESP in UDP") for n in (1, 2)]
    rows += [(e / ah.encrypt(ip / UDP(sport=1, dport=2) / DATA, seq_num=n), "AH over IPv4") for n in (4, 5)]
    rows += [(e / ah6.encrypt(ip6 / TCP(sport=1, dport=2) / DATA, seq_num=n), "AH over IPv6") for n in (6, 7)]
    rows += [(natt_udp / Raw(b"\xff"), "natt_keepalive"), (natt_udp / Raw(b"\0\0\0\0" + b"i" * 28), "ike"), (e / ip / UDP(sport=40000, dport=4500) / Raw(b"\0\0\0\0" + b"i" * 28), "ike"),
             (e / ip6 / UDP(sport=4500, dport=4500) / Raw(b"\xff"), "natt_keepalive"), (e / ip / UDP(sport=500, dport=500) / Raw(b"i" * 28), "IKE on port 500 is UDP")]
    rows += [(e / esp(1), "no tag"), (e / Dot1Q(vlan=5, prio=3) / esp(1), "VLAN 5"), (e / Dot1Q(vlan=5, prio=6, id=1) / esp(2), "VLAN 5"), (e / Dot1AD(vlan=5) / Dot1Q(vlan=6) / esp(1), "QinQ 5, 6"),
             (e / Dot1Q(vlan=5) / Dot1Q(vlan=6) / esp(2), "QinQ 5, 6"), (e / Dot1AD(vlan=5) / Dot1AD(vlan=6) / esp(3), "QinQ 5, 6"), (e / Dot1AD(vlan=6) / Dot1Q(vlan=5) / esp(1), "QinQ 6, 5"), (e / esp(2), "no tag")]
    rows += [(e / ip6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / DATA, "UDP over IPv6"), (e / ip6 / UDP(sport=1, dport=2) / DATA, "UDP over IPv6"),
             (e / ip6 / IPv6ExtHdrFragment(offset=0, m=1, id=9) / UDP(sport=1, dport=2) / DATA, "UDP over IPv6"), (e / ip6 / IPv6ExtHdrFragment(offset=6, m=0, id=9, nh=17) / DATA, "fragment"),
             (e / ip6 / IPv6ExtHdrHopByHop() / ESP(spi=0xBEE, seq=3, data=b"d" * 20), "ESP behind IPv6 extensions"), (e / ip6 / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / ESP(spi=0xBEE, seq=4, data=b"d" * 20), "ESP behind IPv6 extensions"),
             (e / IP(src="192.0.2.1", dst="192.0.2.2", flags="MF", id=3) / ESP(spi=0xF00D, seq=3, data=b"d" * 24), "no tag"), (e / IP(src="192.0.2.1", dst="192.0.2.2", frag=4, id=3, proto=50) / DATA, "fragment"),
             (e / IP(src="192.0.2.1", dst="192.0.2.2", options=b"\x01\x01\x01\x00") / ESP(spi=0xF00D, seq=4, data=b"d" * 20), "no tag")]
    rows += [(e / ip / TCP(sport=1, dport=2) / DATA, "TCP, one direction"), (e / IP(src="192.0.2.2", dst="192.0.2.1") / TCP(sport=2, dport=1) / DATA, "TCP, the other"), (e / ip / TCP(sport=1, dport=2, flags="F"), "TCP, one direction"), (e / ip / UDP(sport=1, dport=2) / DATA, "UDP, same ports")]
    rows += [(Ether(src=HERE, type=0x888E) / Raw(b"\3\5\0\x04" + b"m" * 4), "eapol"), (e / ARP(), "arp"), (e / ip / ICMP() / DATA, "icmp"), (e / ip / ICMP(type=3, code=3) / ip / UDP(sport=1, dport=2) / DATA, "icmp"), (e / ip6 / ICMPv6EchoRequest(), "icmp"),
             (Ether(src=HERE, type=0x88CC) / Raw(b"\2\7\4abcdef"), "other_ethertype"), (Dot3(src=HERE, dst=THERE) / LLC() / DATA, "other_ethertype"), (e / ip / GRE() / ip / UDP(sport=1, dport=2) / DATA, "other_ip_protocol"), (e / ip / ip / UDP(sport=1, dport=2) / DATA, "other_ip_protocol"),
             (e / IP(src="192.0.2.1", dst="192.0.2.2", proto=132) / DATA, "other_ip_protocol"), (e / IPv6(src="2001:db8::1", dst="2001:db8::2", nh=59), "other_ip_protocol")]
    end = len(rows) / 1000  # the last clock: what is still pending is lost then
    at = {name: next(i for i, row in enumerate(rows, 1) if row[1] == name) / 1000 for _, name in rows}
    capture("ethernet.pcap", rows, {
        "scapy's own MACsec": flow("macsec", 4, 1, 4, reordered=1, key={"sci": "02aa000000010005", "an": 0, "vlans": []}),
        "a rekey: AN 1": flow("macsec", 2, 1, 2, key={"sci": "02aa000000010005", "an": 1, "vlans": []}),
        "integrity only: readable inside, tags and all": flow("macsec", 2, 10, 11, key={"sci": "02aa000000020001", "an": 2, "vlans": []}),
        "XPN over the wrap": flow("macsec", 3, 4294967295, 4294967298, lost=1, gaps=[[4294967297, 4294967297, at["XPN over the wrap"] + 0.002, end, False]], key={"sci": "02aa000000030001", "an": 3}),
        "a short frame, SL set": flow("macsec", 2, 1, 2, key={"sci": "02aa000000040001", "an": 0}),
        "ES: port 1": flow("macsec", 2, 5, 6, key={"sci": "0200000000010001", "an": 0}),
        "SCB: port 0": flow("macsec", 2, 6, 7, key={"sci": "0200000000010000", "an": 0}),
        "C without E is data": flow("macsec", 1, 9, 9, key={"sci": "0200000000010001", "an": 1}),
        "MACsec in VLAN 5": flow("macsec", 2, 1, 2, key={"sci": "0200000000010001", "an": 0, "vlans": [5]}),
        "ESP transport, AES-GCM": flow("esp", 2, 1, 3, lost=1, gaps=[[2, 2, at["ESP transport, AES-GCM"] + 0.001, end, False]], key={"destination": "192.0.2.2", "spi": 0xC0DE}),
        "ESP tunnel over IPv6": flow("esp", 2, 7, 8, key={"destination": "2001:db8::a", "spi": 0xC0DF}),
        "ESP in UDP": flow("esp", 2, 1, 2, key={"destination": "192.0.2.2", "spi": 0xC0E0}),
        "AH over IPv4": flow("ah", 2, 4, 5, key={"destination": "192.0.2.2", "spi": 0xC0E1}),
        "AH over IPv6": flow("ah", 2, 6, 7, key={"destination": "2001:db8::2", "spi": 0xC0E2}),
        "IKE on port 500 is UDP": flow("udp", 1, key={"source": "192.0.2.1", "destination": "192.0.2.2", "ports": [500, 500]}),
        "no tag": flow("esp", 4, 1, 4, key={"destination": "192.0.2.2", "spi": 0xF00D, "vlans": []}),
        "VLAN 5": flow("esp", 2, 1, 2, key={"spi": 0xF00D, "vlans": [5]}),
        "QinQ 5, 6": flow("esp", 3, 1, 3, key={"spi": 0xF00D, "vlans": [5, 6]}),
        "QinQ 6, 5": flow("esp", 1, 1, 1, key={"spi": 0xF00D, "vlans": [6, 5]}),
        "UDP over IPv6": flow("udp", 3, key={"source": "2001:db8::1", "destination": "2001:db8::2", "ports": [1, 2]}),
        "ESP behind IPv6 extensions": flow("esp", 2, 3, 4, key={"destination": "2001:db8::2", "spi": 0xBEE}),
        "TCP, one direction": flow("tcp", 2, key={"source": "192.0.2.1", "destination": "192.0.2.2", "ports": [1, 2]}),
        "TCP, the other": flow("tcp", 1, key={"source": "192.0.2.2", "destination": "192.0.2.1", "ports": [2, 1]}),
        "UDP, same ports": flow("udp", 1, key={"source": "192.0.2.1", "destination": "192.0.2.2", "ports": [1, 2]}),
    })


def other_links():
    """Linux cooked v1 and v2, and raw IP: no Ethernet header before what counts."""
    esp, ip6 = (lambda n: IP(src="10.1.0.1", dst="10.1.0.2") / ESP(spi=0xAB, seq=n, data=b"d" * 20)), IPv6(src="fd00::1", dst="fd00::2")
    mac6 = bytes.fromhex(HERE.replace(":", ""))
    v1 = lambda ethertype: CookedLinux(pkttype=0, lladdrtype=1, lladdrlen=6, src=mac6 + b"\0\0", proto=ethertype)
    v2 = lambda ethertype: Raw(struct.pack(">HHIHBB", ethertype, 0, 3, 1, 0, 6) + mac6 + b"\0\0")
    for name, head, link in (("cooked.pcap", v1, 113), ("cooked2.pcap", v2, 276)):
        rows = [(head(0x0800) / esp(n), "ESP") for n in (1, 2, 3)] + [(head(0x86DD) / ip6 / UDP(sport=5, dport=6) / DATA, "UDP")]
        rows += [(head(0x88E5) / MACsec(ES=1, E=1, C=1, PN=n) / DATA, "MACsec") for n in (8, 9)] + [(head(0x8100) / Raw(struct.pack(">HH", 12, 0x0800)) / esp(4), "ESP in VLAN 12")]
        rows += [(head(0x0806) / ARP(), "arp"), (head(0x888E) / Raw(b"\3\5\0\0"), "eapol")]
        capture(name, rows, {"ESP": flow("esp", 3, 1, 3, key={"spi": 0xAB, "vlans": []}), "UDP": flow("udp", 1, key={"ports": [5, 6]}),
                             "MACsec": flow("macsec", 2, 8, 9, key={"sci": "0200000000010001"}), "ESP in VLAN 12": flow("esp", 1, 4, 4, key={"spi": 0xAB, "vlans": [12]})}, link)
    rows = [(esp(n), "ESP") for n in (1, 2, 4, 3)] + [(ip6 / AH(spi=7, seq=n, icv=b"x" * 12, payloadlen=4, nh=6) / TCP() / DATA, "AH") for n in (1, 2)] + [(IP() / ICMP(), "icmp")]
    capture("raw.pcap", rows, {"ESP": flow("esp", 4, 1, 4, reordered=1, key={"spi": 0xAB}), "AH": flow("ah", 2, 1, 2, key={"spi": 7})}, 101)


def clock_goes_back():
    """Timestamps 0, 1, 0.2, 2.9, 0, 3.1 s: the clock is 0, 1, 1, 2.9, 2.9, 3.1. 2 and 3 are noticed at 1; 2 comes at 2.9 (1.9 later: in time), 3 at 3.1 (2.1: late)."""
    build = lambda n: Ether(src=HERE, dst=THERE) / MACsec(SC=1, E=1, C=1, PN=n, SCI=b"\x02\xaa\x00\x00\x00\x01\x00\x05") / DATA
    rows = [(build(n), "flow") for n in (1, 4, 5, 2, 6, 3)]
    flows = {"flow": flow("macsec", 6, first=1, last=6, expected=6, unique=5, reordered=1, late=1, lost=1, gaps=[[3, 3, 1, 3, False]])}
    capture("reversed.pcap", rows, flows, times=[0, NS, NS // 5, 29 * NS // 10, 0, 31 * NS // 10])


def noise():
    """Nobody can work these out by hand: numbers around every limit of the text, in odd times. The engine must agree with the oracle."""
    pick, frames = random.Random(1).choice, []
    steps = [1] * 40 + [2, 3, -1, -2, 0] * 3 + [64, 65, 1022, 1023, 1024, 1025, 2999, 3000, 3001, 3064, 5000, 1 << 31, (1 << 31) - 1]
    for i in range(300):
        number, time, high = pick([1, 1, 0, 5000, 2990, 3100, 0xFFFFFFF0, 0xFFFFF447, 0xFFFFF448, 1 << 31]), pick(range(NS)), 0
        for _ in range(80):
            frame = Ether(src=HERE, dst=THERE) / MACsec(SC=1, E=1, C=1, AN=i % 4, PN=MARK, SCI=sci(i, 1)) / DATA
            frames.append((time, bytes(frame).replace(struct.pack(">I", MARK), struct.pack(">I", number))))
            high = number if number - high & 0x80000000 == 0 else high
            number = pick([high + pick(steps), high + pick(steps), number + 1, high - pick(steps), pick([0, 1, 2, 3, 40, 65, 2998, 2999, 3000])] + [high + 1] * 6) & 0xFFFFFFFF
            time += pick([10**6] * 40 + [0, 10**8, 1_999_000_000, 2 * NS, 2_001_000_000] + [59_900_000_000, 60 * NS, 60_100_000_000] * pick([0, 0, 1]))
    frames.sort(key=lambda frame: frame[0])
    for at in range(50, len(frames) - 1, 97):  # some come behind the clock
        frames[at], frames[at + 1] = frames[at + 1], frames[at]
    write("noise.pcap", frames)


OUT.mkdir(parents=True, exist_ok=True)
patterns("short", 50 * NS, False)
patterns("long", 400 * NS, True)
patterns("brief", NS, False)
patterns("again", 50 * NS, False)
ethernet()
other_links()
clock_goes_back()
noise()
(OUT / "expected.json").write_text(json.dumps(expected, indent=1))
