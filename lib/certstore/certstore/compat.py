"""Where MicroPython and CPython differ, in one place."""

import time

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


# MicroPython ports count from 1970 or from 2000; certificates and stores count from 1970.
_EPOCH_OFFSET_S = 946684800 if time.gmtime(0)[0] == 2000 else 0


def unix_time():
    """The clock in whole seconds since 1970-01-01 00:00:00 UTC."""
    return int(time.time()) + _EPOCH_OFFSET_S
