"""What the option `trace` costs where it is on; without it nothing of it is there.

trace.py PORT STORE N, of a server that echoes. handshake: [[µs traced, µs not], …]; echo: the same of 100 KB;
held: [bytes of heap that an open connection holds traced, not].
"""

import gc
import json
import sys
from time import ticks_diff, ticks_us

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import sides

from securesocket import SecureContext, SecureSocket

PIECES = 50
PIECE = bytes(2000)

port, count = int(sys.argv[1]), int(sys.argv[3])
store = sides.read(sys.argv[2])
plain = sides.ours(port, store)


def nothing(event):
    pass


def traced_side():
    from certstore.store import CertStore

    context = SecureContext(trust=CertStore(store), trace=nothing)
    return lambda: SecureSocket(sides.HOST, port, secure=context)


traced = traced_side()


def opened(connect):
    start = ticks_us()
    connect().close()
    return ticks_diff(ticks_us(), start)


def echoed(connect):
    connection = connect()
    buf = bytearray(len(PIECE))
    start = ticks_us()
    for _ in range(PIECES):
        connection.write(PIECE)
        connection.readinto(buf)
    spent = ticks_diff(ticks_us(), start)
    connection.close()
    return spent


def paired(measure, first, second):
    """Each goes first every other time."""
    pairs = []
    for index in range(count):
        if index % 2:
            spent = measure(second)
            pairs.append([measure(first), spent])
        else:
            pairs.append([measure(first), measure(second)])
    return pairs


def held(connect):
    gc.collect()
    before = gc.mem_alloc()
    connection = connect()
    gc.collect()
    taken = gc.mem_alloc() - before
    connection.close()
    return taken


for connect in (plain, traced):
    echoed(connect)
print(
    json.dumps(
        {
            "handshake": paired(opened, traced, plain),
            "echo": paired(echoed, traced, plain),
            "held": [held(traced), held(plain)],
        }
    )
)
