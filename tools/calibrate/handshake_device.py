"""The heap's peak over a verified handshake, on a Pico; CASES, (port, store) of servers, is given in front.

One window a case. The collector runs before mbedTLS verifies and after each certificate, wherever there is
room or not: what is in use at the peak is needed then.
"""

# ruff: noqa: F821 (what the emulator puts in front)

import gc

from certstore.store import CertStore
from securesocket import SecureContext, SecureSocket
from securesocket.engine import stock


def full(count):
    gc.collect()
    return False


stock.has_room = full
call = stock.Session.__call__


def collecting(self, der, depth):
    said = call(self, der, depth)
    gc.collect()
    return said


stock.Session.__call__ = collecting
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
    gc.collect()
    MARK.on()
    connection = connect(number)
    MARK.off()
    connection.close()
    connection = None
print(".".join(str(part) for part in stock.version()))
