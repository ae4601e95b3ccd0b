"""What a server of securesocket does, and the same loop with the bare tls module.

server.py rate FOLDER PORT PORT ROUNDS EACH: prints READY, then serves EACH clients with securesocket on the
first port, EACH with tls on the second, and so on. [[µs with securesocket, with tls], …], one pair a round.
server.py smallest SIDE FOLDER PORT START: GO whenever a client may come, at growing sizes of free heap; then
the smallest at which RUNS of RUNS pass. SIDE: ours (budget=None), budget (as it is by default), bare.
FOLDER: leaf.der, above.der, key.der; ca.der if clients have to show a certificate.
"""

import gc
import json
import socket
import sys
from time import ticks_diff, ticks_us

HOST = "127.0.0.1"
BACKLOG = 8
# What every client is told.
HELLO = b"x"

# Of `smallest`.
STEP = 256
RUNS = 20
BLOCK = 480


def read(path):
    with open(path, "rb") as file:
        return file.read()


def identity(folder):
    return [read(folder + "/leaf.der"), read(folder + "/above.der")], read(folder + "/key.der")


def clients_ca(folder):
    try:
        return read(folder + "/ca.der")
    except OSError:
        return None


def bare(folder, port):
    """A function that serves one client as MicroPython's own module does it."""
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    chain, key = identity(folder)
    for certificate in chain:
        context.load_cert_chain(certificate, key)
    clients = clients_ca(folder)
    if clients:
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(clients)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(socket.getaddrinfo(HOST, port)[0][-1])
    listener.listen(BACKLOG)

    def accept():
        inner, _ = listener.accept()
        inner.setsockopt(6, 1, 1)
        try:
            return context.wrap_socket(inner, server_side=True)
        except BaseException:
            inner.close()
            raise

    return accept


def ours(folder, port, **how):
    """The same with securesocket."""
    from securesocket import SecureServerSocket

    secure = how.pop("secure", {})
    clients = clients_ca(folder)
    if clients:
        secure.update(request_client_certificate="required", trust=clients)
    server = SecureServerSocket.bind(HOST, port, identity(folder), backlog=BACKLOG, secure=secure, **how)
    return server.accept


def serve(accept, count):
    """Microseconds for so many clients."""
    start = ticks_us()
    for _ in range(count):
        connection = accept()
        connection.write(HELLO)
        connection.close()
    return ticks_diff(ticks_us(), start)


def rate(folder, first, second, rounds, each):
    sides = (ours(folder, first), bare(folder, second))
    print("READY")
    # The very first ones load modules.
    for side in sides:
        serve(side, each)
    return [[serve(side, each) for side in sides] for _ in range(rounds)]


def smallest(side, folder, port, start):
    if side == "bare":
        accept = bare(folder, port)
    else:
        # What the first failure would load is loaded: it is no part of a handshake.
        import certstore.mozilla  # noqa: F401
        import securesocket.server_verdict
        import securesocket.verdict
        import securesocket.wording  # noqa: F401

        def failed(error, address):
            raise error

        secure = {"budget": None} if side == "ours" else {}
        accept = ours(folder, port, secure=secure, when_full="refuse", on_failure=failed)
    ballast = [None] * 2000

    def passes(free):
        gc.collect()
        used = 0
        while gc.mem_free() > free + BLOCK + 96:
            ballast[used] = bytearray(BLOCK)
            used += 1
        rest = gc.mem_free() - free
        if rest > 32:
            ballast[used] = bytearray(rest - 16)
            used += 1
        gc.collect()
        print("GO")
        try:
            connection = accept()
            connection.write(HELLO)
            connection.close()
            return True
        except (OSError, ValueError, MemoryError):
            return False
        finally:
            for index in range(used):
                ballast[index] = None

    print("GO")
    connection = accept()
    connection.write(HELLO)
    connection.close()
    while not all(passes(start) for _ in range(RUNS)):
        start += STEP
    return start


if sys.argv[1] == "rate":
    print(json.dumps(rate(sys.argv[2], *map(int, sys.argv[3:7]))))
elif sys.argv[1] == "smallest":
    print(json.dumps(smallest(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
