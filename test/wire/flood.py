"""flood.py IFACE FRAMES PAUSE: sends the frames, 64 rounds and then a pause (seconds), until standard input ends; then says how many were sent.
Enters: hexadecimal frames, a line each in the second argument. Leaves: "sent N"; always whole rounds."""

import errno
import select
import socket
import sys

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
frames = [bytes.fromhex(line) for line in sys.argv[2].split()]
count = 0
while True:
    for _ in range(64):
        for frame in frames:
            while True:
                try:
                    wire.send(frame)
                    break
                except OSError as error:
                    if error.errno != errno.ENOBUFS:  # the wire did not take it: it was not sent
                        raise
            count += 1
    if select.select([sys.stdin], [], [], float(sys.argv[3]))[0]:
        break
print("sent", count)
