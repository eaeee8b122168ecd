"""Frames on a wire, by an implementation that is not ours.

send IFACE            enters: hexadecimal frames, a line each; leaves: "sent N"
take IFACE            leaves: "ready", then a line of JSON for each frame that comes in, read by scapy, until standard input ends
gso ADDRESS PORT SIZE COUNT IFINDEX   one send of COUNT × SIZE bytes that the kernel is to cut (UDP_SEGMENT)
udp ADDRESS PORT SIZE COUNT IFINDEX   COUNT datagrams by a socket: on a veth their checksums are left to the receiver
"""

import json
import select
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING, UDP_SEGMENT, SO_RCVBUFFORCE = 263, 8, 4, 103, 33
PAYLOAD = bytes(range(256)) * 256


def send(interface):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    count = 0
    for line in sys.stdin:
        wire.send(bytes.fromhex(line.strip()))
        count += 1
    print("sent", count)


def checks(packet, layer):
    """Whether a checksum is what scapy makes of the packet."""
    given = packet[layer].chksum
    again = packet.copy()
    del again[layer].chksum
    return given, type(packet)(bytes(again))[layer].chksum == given


def told(frame, vlan):
    from scapy.all import IP, UDP, Ether, IPv6

    ether = Ether(frame)
    out = {"hex": frame.hex(), "bytes": len(frame), "vlan": vlan, "to": ether.dst, "from": ether.src}
    if IP in ether:
        ip = ether[IP]
        out |= {"source": ip.src, "destination": ip.dst, "ttl": ip.ttl, "tos": ip.tos, "id": ip.id, "protocol": ip.proto}
        out["ipRight"] = checks(ether, IP)[1]
    elif IPv6 in ether:
        ip = ether[IPv6]
        out |= {"source": ip.src, "destination": ip.dst, "ttl": ip.hlim, "tos": ip.tc, "protocol": ip.nh}
    if UDP in ether:
        udp = ether[UDP]
        given, right = checks(ether, UDP)
        out |= {"port": udp.dport, "udpRight": right, "checksum": given, "payload": bytes(udp.payload).hex()}
    return out


def take(interface):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((interface, 3))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    import scapy.all  # noqa: F401  slow, so before the first frame

    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([wire, sys.stdin], [], [])
        if wire in ready:
            frame, extra, _, address = wire.recvmsg(70000, 256)
            if address[2] == PACKET_OUTGOING:
                continue
            vlan = None
            for level, kind, data in extra:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", data[:20])
                    vlan = tag & 0xFFF if status & 0x10 else None
            print(json.dumps(told(frame, vlan)), flush=True)
        elif not sys.stdin.read(1):
            return


def sockets(kind, address, port, size, count, index):
    six = ":" in address
    out = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    if six:
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 9)
    else:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 9)
    if kind == "gso":
        out.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        out.sendto(PAYLOAD[: size * count], (address, port))
    else:
        for _ in range(count):
            out.sendto(PAYLOAD[:size], (address, port))
    print("sent", count)


if sys.argv[1] == "send":
    send(sys.argv[2])
elif sys.argv[1] == "take":
    take(sys.argv[2])
else:
    sockets(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]))
