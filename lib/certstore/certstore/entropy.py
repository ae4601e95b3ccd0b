"""Random bytes for keys, salts and nonces, from os.urandom, which is tried before anything is made of it.

The trial, once after each start, is two draws of 32 bytes. It refuses a source that is not there or raises
("entropy-absent"), and one that repeats itself ("entropy-weak"): two draws that are equal, or a draw with at
most 8 different bytes. A generator that does not run gives the same bytes again, or one byte over and over.
It costs 64 bytes of the source, and two sets of at most 32 numbers for that moment.

A good source fails it once in 2**110 starts: two draws are equal with a probability of 2**-256, and one draw
has at most 8 different bytes with less than C(256, 8) * (8 / 256)**32 < 2**-111.

Not tried: how random the bytes are. A counter passes.
mbedTLS draws from the same generator of the port, by itself (mbedtls_hardware_poll).
"""

import os

from .compat import const
from .errors import SecureSocketError

_EIO = const(5)
_DRAW = const(32)
_MIN_DIFFERENT = const(9)

# Whether the source has passed, and whether somebody has said that it need not.
_passed = False
is_weak_accepted = False


# Here and not in `errors`, which is loaded before there is a connection.
class EntropyError(SecureSocketError):
    """There is no randomness to make handshakes, keys or salts of."""

    numbers = ((_EIO, None),)


def check():
    """Try the source, unless it has passed since the start. Raises EntropyError."""
    global _passed
    if _passed or is_weak_accepted:
        return
    first = _draw(_DRAW)
    second = _draw(_DRAW)
    if first == second or min(len(set(first)), len(set(second))) < _MIN_DIFFERENT:
        raise EntropyError("entropy-weak", "%s and %s" % (first[:8].hex(), second[:8].hex()))
    _passed = True


def random(size):
    """`size` bytes from the source, after `check`. Raises EntropyError."""
    check()
    return _draw(size)


def accept_weak():
    """For tests and emulators: until the next start, a source that repeats itself will do. Whoever guesses
    its bytes reads the connections and has the keys made with them. One that is not there still raises."""
    global is_weak_accepted
    is_weak_accepted = True


# Its name in securesocket.
accept_weak_entropy = accept_weak


def _draw(size):
    try:
        drawn = os.urandom(size)
    except (AttributeError, NotImplementedError, OSError) as error:
        raise EntropyError("entropy-absent", repr(error))
    if len(drawn) != size:
        raise EntropyError("entropy-absent", "%d bytes" % len(drawn), "%d bytes" % size)
    return drawn
