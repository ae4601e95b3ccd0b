"""[[µs with securesocket, µs with tls], …] of N paired connections.

handshake.py PORT ROOT STORE N [nagle] [bare-first]
"""

import json
import sys
from time import ticks_diff, ticks_us

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import sides

port, count = int(sys.argv[1]), int(sys.argv[4])
root, store = sides.read(sys.argv[2]), sides.read(sys.argv[3])
connect_bare = sides.bare(port, root, "nagle" not in sys.argv)


def timed(connect):
    # No gc.collect() before: MicroPython's allocator then searches from the heap's start again, which
    # slows down whoever allocates most, and that is mbedTLS.
    start = ticks_us()
    connect().close()
    return ticks_diff(ticks_us(), start)


import securesocket.socket  # noqa: E402,F401


def first_of_ours():
    """Counts the making of the context, as the other side's does each time."""
    start = ticks_us()
    connect = sides.ours(port, store)
    connect().close()
    return connect, ticks_diff(ticks_us(), start)


# The very first handshake of a process is slower, whoever makes it.
if "bare-first" in sys.argv:
    spent = timed(connect_bare)
    connect_ours, first = first_of_ours()
else:
    connect_ours, first = first_of_ours()
    spent = timed(connect_bare)
pairs = [[first, spent]]
for index in range(count - 1):
    if index % 2:
        spent = timed(connect_bare)
        pairs.append([timed(connect_ours), spent])
    else:
        pairs.append([timed(connect_ours), timed(connect_bare)])
print(json.dumps(pairs))
