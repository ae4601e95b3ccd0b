"""The smallest free heap at which a handshake passes, what stays behind, what an open one holds.

heap.py ours|budget|bare PORT ROOT STORE; ours: with budget=None, what the handshake itself needs; budget: as
it is by default. Free: after gc.collect(), modules imported, options checked.
"""

import gc
import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import sides

STEP = 256
START = 24 * 1024
RUNS = 20
BLOCK = 480

side, port = sys.argv[1], int(sys.argv[2])
if side != "bare":
    # Modules that the first failure would load are loaded: they are not part of a handshake.
    import certstore.mozilla  # noqa: F401
    import securesocket.verdict
    import securesocket.wording  # noqa: F401

    options = {"budget": None} if side == "ours" else {}
    connect = sides.ours(port, sides.read(sys.argv[4]), **options)
else:
    connect = sides.bare(port, sides.read(sys.argv[3]))
ballast = [None] * 2000


def passes(free):
    """Whether a handshake passes when exactly this much heap is free."""
    gc.collect()
    used = 0
    while gc.mem_free() > free + BLOCK + 96:
        ballast[used] = bytearray(BLOCK)
        used += 1
    rest = gc.mem_free() - free
    if rest > 32:
        ballast[used] = bytearray(rest - 16)
        used += 1
    gc.collect()
    try:
        connect().close()
        return True
    except (OSError, ValueError, MemoryError):
        return False
    finally:
        for index in range(used):
            ballast[index] = None


connect().close()
gc.collect()
gc.collect()
before = gc.mem_alloc()
for _ in range(10):
    connect().close()
gc.collect()
gc.collect()
left = gc.mem_alloc() - before
connection = connect()
gc.collect()
held = gc.mem_alloc() - before
connection.close()
connection = None

smallest = START
while not all(passes(smallest) for _ in range(RUNS)):
    smallest += STEP
print(json.dumps({"smallest": smallest, "left": left, "open": held}))
