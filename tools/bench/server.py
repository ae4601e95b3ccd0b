"""What a server of securesocket does, and the same loop with the bare tls module.

server.py rate FOLDER OURS BARE ROUNDS EACH: prints READY, then serves EACH clients with securesocket on the
port OURS, EACH with tls on the port BARE, and so on. [[µs with securesocket, µs with tls], …], a pair a round.
FOLDER: leaf.der, above.der, key.der.
"""

import json
import socket
import sys
from time import ticks_diff, ticks_us

import tls

HOST = "127.0.0.1"
BACKLOG = 8
# What every client is told.
HELLO = b"x"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def bare(chain, key, port):
    """A function that serves one client as MicroPython's own module does it."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    for certificate in chain:
        context.load_cert_chain(certificate, key)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(socket.getaddrinfo(HOST, port)[0][-1])
    listener.listen(BACKLOG)

    def accept():
        inner, _ = listener.accept()
        inner.setsockopt(6, 1, 1)
        return context.wrap_socket(inner, server_side=True)

    return accept


def ours(chain, key, port):
    """The same with securesocket."""
    from securesocket import SecureServerSocket

    return SecureServerSocket.bind(HOST, port, (chain, key), backlog=BACKLOG).accept


def serve(accept, count):
    """Microseconds for so many clients."""
    start = ticks_us()
    for _ in range(count):
        connection = accept()
        connection.write(HELLO)
        connection.close()
    return ticks_diff(ticks_us(), start)


def rate(folder, first, second, rounds, each):
    chain = [read(folder + "/leaf.der"), read(folder + "/above.der")]
    key = read(folder + "/key.der")
    sides = (ours(chain, key, first), bare(chain, key, second))
    print("READY")
    # The very first ones load modules.
    for side in sides:
        serve(side, each)
    return [[serve(side, each) for side in sides] for _ in range(rounds)]


if sys.argv[1] == "rate":
    print(json.dumps(rate(sys.argv[2], *map(int, sys.argv[3:7]))))
