"""The heap's peak over a verified handshake, on a Pico; CASES, (port, store) of servers, is given in front.

One window a case. The engine holds no gap, as on a heap that is nearly full, and the collector runs whenever
mbedTLS goes on after something of ours: what is in use at the peak is needed then.
"""

# ruff: noqa: F821 (what the emulator puts in front)

import gc
import io

from certstore.store import CertStore
from securesocket import SecureContext, SecureSocket
from securesocket.engine import stock


def hold_nothing(size, free):
    return io.BytesIO(0)


def collecting(name):
    real = getattr(stock.Session, name)

    def method(self, *about):
        said = real(self, *about)
        gc.collect()
        return said

    setattr(stock.Session, name, method)


def verifies_next(self):
    real_verifies_next(self)
    # Of what mbedTLS takes and gives back in its arithmetic, it would run a thousand times.
    gc.threshold(-1)


stock.hold_room = hold_nothing
real_verifies_next = stock.Session.verifies_next
stock.Session.verifies_next = verifies_next
for name in ("_read", "_write", "__call__"):
    collecting(name)
COLLECT_BYTES = 1024
contexts = [SecureContext(trust=CertStore(store), budget=None) for _, store in CASES]
for context in contexts:
    # Made by the first connection.
    context.trust  # noqa: B018


def connect(number):
    return SecureSocket("localhost", CASES[number][0], contexts[number])


# What is loaded by a connection is loaded.
connect(0).close()
for number in range(len(CASES)):
    gc.collect()
    gc.threshold(COLLECT_BYTES)
    MARK.on()
    connection = connect(number)
    MARK.off()
    connection.close()
    connection = None
print(".".join(str(part) for part in stock.version()))
