"""Where MicroPython and CPython differ, in one place."""

import gc
import io
import time

try:
    from micropython import const

    ON_DEVICE = True

    def has_room(size):
        """Whether `size` bytes of heap are free in one piece; garbage is collected only if they are not."""
        try:
            # Unlike any other buffer's, a closed BytesIO's memory is free at once, not when it is collected.
            io.BytesIO(size).close()
        except MemoryError:
            return False
        return True

    def hold_room(size):
        """Something that holds `size` bytes of heap until it is closed."""
        return io.BytesIO(size)

    def make_room(size):
        """Collect garbage unless `size` bytes of heap are free already, in however many pieces; returns how
        many are."""
        free = gc.mem_free()
        if free < size:
            gc.collect()
            free = gc.mem_free()
        return free

except ImportError:
    ON_DEVICE = False

    def const(value):
        return value

    def has_room(size):
        return True

    def hold_room(size):
        return io.BytesIO()

    def make_room(size):
        return size


# MicroPython ports count from 1970 or from 2000; certificates and stores count from 1970.
_EPOCH_OFFSET_S = 946684800 if time.gmtime(0)[0] == 2000 else 0


def unix_time():
    """The clock in whole seconds since 1970-01-01 00:00:00 UTC."""
    return int(time.time()) + _EPOCH_OFFSET_S
