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


def lay_out():
    for ski in skis:
        packed.certificate(packed.find(ski), into)


def copy():
    for ski in skis:
        der = whole.certificate(whole.find(ski))
        into[: len(der)] = der


def timed(act):
    """Microseconds an anchor. Nothing is collected in between: the collector would read both stores, which
    lie in flash on a device and on the heap here."""
    start = ticks_us()
    act()
    return ticks_diff(ticks_us(), start) / len(skis)


CertStore(sys.argv[1]).close()
packed = read(sys.argv[1])
heap = {"bytes": held(packed), "file": held(sys.argv[1])}
packed = CertStore(packed)
whole = CertStore(read(sys.argv[2]))
skis = [packed.ski(number) for number in range(len(packed))]
into = memoryview(bytearray(max(packed.largest, whole.largest)))
pairs = [[timed(lay_out), timed(copy)] for _ in range(ROUNDS)]
print(json.dumps({"heap": heap, "buffer": packed.largest, "pairs": pairs}))
