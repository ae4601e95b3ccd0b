"""The two sides that are compared: securesocket with the whole store, and tls with the one right root.

Imported by the scripts beside it, on MicroPython.
"""

import socket

import tls

HOST = "localhost"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def bare(port, root, nodelay=True):
    """A function that opens a verified connection as MicroPython's own module does it."""

    def connect():
        address = socket.getaddrinfo(HOST, port, 0, socket.SOCK_STREAM)[0][-1]
        sock = socket.socket()
        try:
            if nodelay:
                sock.setsockopt(6, 1, 1)
            sock.connect(address)
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.verify_mode = tls.CERT_REQUIRED
            context.load_verify_locations(root)
            return context.wrap_socket(sock, server_hostname=HOST)
        except BaseException:
            sock.close()
            raise

    return connect


def ours(port, store, **options):
    """The same with securesocket: bytes of a store stand for one in flash."""
    from certstore.store import CertStore
    from securesocket import SecureContext, SecureSocket

    context = SecureContext(trust=CertStore(store), **options)

    def connect():
        return SecureSocket(HOST, port, secure=context)

    return connect
