"""A TLS server on this computer's loopback for one handshake, with a chain that is made for it."""

import contextlib
import pathlib
import socket
import ssl
import tempfile
import threading

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from . import issuing

HOST = "127.0.0.1"
# What a chain's keys may be, and what they are then.
KEYS = {"ec": "p256", "rsa": "rsa2048"}
# Certificates from the server's to the root, which stays at home.
SHORTEST, LONGEST = 2, 4
_DAYS = 2
# An emulated device takes a minute and a half for a handshake.
_PEER_S = 600
_END_S = 5


def make_chain(key, count):
    """(private key, [server's x509.Certificate, ..., root]) of `count` certificates for "localhost"."""
    authority = None
    for depth in range(count - 1):
        name = issuing.subject_name("Test Root" if depth == 0 else f"Test Intermediate {depth}")
        private = issuing.new_key(KEYS[key])
        certificate, _ = issuing.new_ca(name, private, _DAYS if depth == 0 else None, issuer=authority)
        authority = issuing.Authority(private, (certificate, *(authority.chain if authority else ())))
    private = issuing.new_key(KEYS[key])
    names = issuing.host_names(["localhost", HOST])
    leaf, _ = issuing.new_leaf(
        issuing.subject_name("localhost"), private.public_key(), names, "server", issuer=authority
    )
    return private, [leaf, *authority.chain]


@contextlib.contextmanager
def serving(key, count):
    """(port, root as DER) of a server with a fresh chain; it ends with the `with`."""
    private, chain = make_chain(key, count)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "chain.pem"
        secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + b"".join(each.public_bytes(Encoding.PEM) for each in chain[:-1]))
        context.load_cert_chain(path)
    listener = socket.create_server((HOST, 0))
    thread = threading.Thread(target=_serve, args=(listener, context), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], chain[-1].public_bytes(Encoding.DER)
    finally:
        # A close alone would leave the thread in accept.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(_END_S)


def _serve(listener, context):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_PEER_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(connection, server_side=True) as stream:
                while stream.recv(4096):
                    pass
