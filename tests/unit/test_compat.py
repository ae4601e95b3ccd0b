"""certstore.compat: what differs between the interpreters."""

import gc
import time

from certstore.compat import has_room, unix_time
from support import only_on_micropython


def test_the_clock_counts_from_1970():
    now = unix_time()
    assert isinstance(now, int) and now > 1700000000
    assert time.gmtime(0)[0] == 2000 or abs(now - time.time()) < 5


def test_room_is_told_from_none():
    only_on_micropython("CPython's heap grows")
    assert has_room(1024)
    assert not has_room(1 << 29)


def test_asking_for_room_keeps_none_of_it():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    gc.collect()
    has_room(16)
    before = gc.mem_alloc()
    for _ in range(10):
        has_room(100000)
    assert gc.mem_alloc() - before < 2000
