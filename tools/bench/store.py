"""An open store's heap, and what laying out an anchor costs: store.py PACKED WHOLE.

Two stores of the same anchors. Of each anchor: looked up by SKI, checked, and brought into one buffer, laid
out from PACKED, copied from WHOLE.
"""

import gc
import json
import sys
from time import ticks_diff, ticks_us

from certstore.store import CertStore

ROUNDS = 20


def held(source):
    gc.collect()
    gc.collect()
    before = gc.mem_alloc()
    kept = CertStore(source)
    gc.collect()
    gc.collect()
    spent = gc.mem_alloc() - before
    kept.close()
    return spent


def read(path):
    with open(path, "rb") as file:
        return file.read()


def lay_out(store, ski):
    store.certificate(store.find(ski), into)


def copy(store, ski):
    der = store.certificate(store.find(ski))
    into[: len(der)] = der


def timed(act, store):
    """Microseconds an anchor, the best of ROUNDS. Nothing is collected: the collector would read both stores,
    which lie in flash on a device and on the heap here, and so would an allocator that starts over."""
    best = None
    for _ in range(ROUNDS):
        start = ticks_us()
        for ski in skis:
            act(store, ski)
        spent = ticks_diff(ticks_us(), start)
        best = spent if best is None else min(best, spent)
    return best / len(skis)


CertStore(sys.argv[1]).close()
packed = read(sys.argv[1])
heap = {"bytes": held(packed), "file": held(sys.argv[1])}
packed = CertStore(packed)
whole = CertStore(read(sys.argv[2]))
skis = [packed.ski(number) for number in range(len(packed))]
into = memoryview(bytearray(max(packed.largest, whole.largest)))
gc.disable()
laid_out = timed(lay_out, packed)
copied = timed(copy, whole)
print(json.dumps({"heap": heap, "buffer": packed.largest, "laid_out": laid_out, "copied": copied}))
