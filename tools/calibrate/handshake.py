"""What one verified handshake holds of the heap, by stages: handshake.py PORT STORE [IDENTITY.pem]

Runs on the build `meter32` or `meter`. Prints a JSON object: `stages`, the pieces (bytes, in the order in
which mbedTLS took them) that are held at each; `events`, what it took and gave back (see heap_meter.c) from
when the anchor was there to its verdict; `ours`, the bytes of objects of Python's and of MicroPython's at the
moment at which mbedTLS verifies.
"""

import gc
import json
import socket
import sys

import _heap_meter as meter

from certstore.store import CertStore
from securesocket import SecureContext, SecureSocket
from securesocket.engine import stock

port = int(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    options = {"trust": CertStore(file.read()), "budget": None}
if len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as file:
        options["identity"] = file.read()
context = SecureContext(**options)
stages = {}
ours = 0


def hook(name, before, after):
    """Note what is held when a method of Session is called, and when it returns."""
    real = getattr(stock.Session, name)

    def noting(self, *about):
        if before not in stages:
            stages[before] = meter.held()
        result = real(self, *about)
        if after not in stages:
            stages[after] = meter.held()
            meter.mark(True)
        return result

    setattr(stock.Session, name, noting)


def connect():
    return SecureSocket("localhost", port, secure=context)


# What is loaded at the first connection is loaded; the reader's garbage is gone.
connect().close()
real_call = stock.Session.__call__


def call(self, der, depth):
    global ours
    if "verified" not in stages:
        meter.mark(False)
        gc.collect()
        ours = gc.mem_alloc() - base - meter.now()
        stages["verified"] = meter.held()
    return real_call(self, der, depth)


stock.Session.__call__ = call
hook("certificate", "shown", "anchored")


def size_of(make):
    """(what make() gives, bytes of it that mbedTLS did not take)."""
    gc.collect()
    meter.start()
    before = gc.mem_alloc()
    made = make()
    return made, gc.mem_alloc() - before - meter.now()


# A stream that nobody reads.
silent = socket.socket()
tls_context, context_bytes = size_of(lambda: stock.tls.SSLContext(stock.tls.PROTOCOL_TLS_CLIENT))
tls_socket, socket_bytes = size_of(
    lambda: tls_context.wrap_socket(silent, server_hostname="", do_handshake_on_connect=False)
)
silent = tls_context = tls_socket = None
gc.collect()
gc.collect()
base = gc.mem_alloc()
meter.start()
connection = connect()
meter.stop()
facts = {
    "stages": stages,
    "ours": ours,
    "context": context_bytes,
    "socket": socket_bytes,
    "mbedtls": stock.version(),
    "micropython": ".".join(map(str, sys.implementation.version[:3])),
}
print(json.dumps(facts)[:-1] + ', "events": [', end="")
number = 0
while meter.event(number) is not None:
    print(("," if number else "") + str(meter.event(number)), end="")
    number += 1
print("]}")
