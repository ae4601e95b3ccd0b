"""What the budget's check costs, on a heap of 128 KB: budget.py STORE.

yes, rehearsal, no: [median, worst] µs of budget.check with one block that holds all, with a heap in fragments
where the pieces are tried, and with a no (without what makes the error); left: bytes of heap that each leaves
behind.
"""

import gc
import json
import sys
from time import ticks_diff, ticks_us

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import sides

import securesocket.budget as budget
from certstore.store import CertStore
from securesocket import SecureContext

ROUNDS = 100
KB = 1024
# What is free for the yes in one block, and for the no.
ROOM, LITTLE = 100 * KB, 20 * KB
SMALL = 640
OLDER = 10
# A hole for each of the record buffers, and so much more in pieces too small for them.
HOLES = (2 * KB, 4 * KB, 6 * KB, 6 * KB, 17 * KB)

context = SecureContext(trust=CertStore(sides.read(sys.argv[1])))
# RSA 2048, and two certificates.
budget.learn("localhost", 294, 3200)
spent = [0] * ROUNDS
ballast = [None] * 500


def fill(free):
    """Leave so much, in one block."""
    gc.collect()
    used = 0
    while gc.mem_free() > free + 1024:
        ballast[used] = bytearray(960)
        used += 1
    gc.collect()


def in_fragments():
    """Holes between pieces, and nothing else."""
    used = 0
    # First what older holes have room for: a wall in one of them would part nothing.
    for number in range(OLDER):
        ballast[-1 - number] = bytearray(SMALL)
    for size in HOLES + (SMALL,) * 30:
        ballast[used] = bytearray(size)
        ballast[used + 1] = bytearray(SMALL)
        used += 2
    rest = used
    try:
        while True:
            ballast[rest] = bytearray(SMALL)
            rest += 1
    except MemoryError:
        pass
    for number in range(0, used, 2):
        ballast[number] = None
    gc.collect()


def empty():
    for number in range(len(ballast)):
        ballast[number] = None
    gc.collect()


def asked():
    """What budget.check does until it knows; a no is the answer, its error is not made."""
    key, chain = budget._expected(context, "localhost")
    return budget.carries(key, chain, context.reserve)


def measure(expected):
    asked()
    gc.collect()
    before = gc.mem_alloc()
    for number in range(ROUNDS):
        start = ticks_us()
        fits = asked()
        spent[number] = ticks_diff(ticks_us(), start)
        if fits is not expected:
            raise ValueError("the answer is %r" % fits)
    gc.collect()
    left = gc.mem_alloc() - before
    spent.sort()
    return [spent[ROUNDS // 2], spent[-1], left]


result = {}
fill(ROOM)
result["yes"] = measure(True)
empty()
in_fragments()
if budget.largest_block() > 20 * KB:
    raise ValueError("no fragments: %d" % budget.largest_block())
result["rehearsal"] = measure(True)
empty()
fill(LITTLE)
result["no"] = measure(False)
empty()
result["left"] = sum(result[name].pop() for name in ("yes", "rehearsal", "no"))
print(json.dumps(result))
