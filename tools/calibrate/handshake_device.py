"""The heap's peak over a verified handshake, on a Pico; CASES, (port, store) of servers, is given in front.

One window a case. The engine holds no gap, as on a heap that is nearly full. The collector runs after each
KB, also while mbedTLS calculates, as it does where the heap is too small.
"""

# ruff: noqa: F821 (what the emulator puts in front)

import gc
import io

from certstore.store import CertStore
from securesocket import SecureContext, SecureSocket
from securesocket.engine import stock


def hold_nothing(size):
    return io.BytesIO(0)


stock.hold_room = hold_nothing
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
    gc.threshold(-1)
    connection.close()
    connection = None
print(".".join(str(part) for part in stock.version()))
