"""Pseudo-terminals in tests."""

import select


def readable(file, timeout_s):
    """Whether a descriptor has something to read within this time. A long session of tests has more than the
    1,024 descriptors that select() can take."""
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(max(0, timeout_s) * 1000))
