"""DTLS echoes with securesocket, and the same loop with the bare tls module.

datagram.py ours|bare FOLDER PORT: an echo server; prints READY, ends with a datagram "end".
datagram.py rate FOLDER OURS BARE ROUNDS EACH SIZE: [[µs with securesocket, µs with tls], …], a pair a round
of EACH echoes of SIZE bytes; both connections are of this process. FOLDER: leaf.der, above.der, key.der and
root.der.
"""

import json
import socket
import sys
from time import ticks_diff, ticks_us

import tls

HOST = "127.0.0.1"
END = b"end"
MTU = 2048
TIMEOUT_S = 5
# MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED
VERIFY_REQUIRED = -0x6A80
SUITE = "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def identity(folder):
    return [read(folder + "/leaf.der"), read(folder + "/above.der")], read(folder + "/key.der")


def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def address(port):
    return socket.getaddrinfo(HOST, port)[0][-1]


def serve_ours(folder, port):
    from securesocket import DtlsServer

    server = DtlsServer.bind(HOST, port, identity(folder))
    print("READY")
    return server.accept()


def serve_bare(folder, port):
    """One peer, on a socket that is connected to it: mbedTLS calls the socket's own functions."""
    context = tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)
    chain, key = identity(folder)
    for certificate in chain:
        context.load_cert_chain(certificate, key)
    sock = udp()
    sock.bind(address(port))
    print("READY")
    # MSG_PEEK: the ClientHello is for mbedTLS.
    sock.connect(sock.recvfrom(1, 2)[1])
    while True:
        try:
            return context.wrap_socket(sock, server_side=True, client_id=b"peer")
        except OSError as error:
            if error.errno != VERIFY_REQUIRED:
                raise


def ours(folder, port):
    from securesocket import DtlsClient

    return DtlsClient.bind().connect("localhost", port, {"trust": read(folder + "/root.der")})


def bare(folder, port):
    context = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
    context.set_ciphers([SUITE])
    context.load_verify_locations(read(folder + "/root.der"))
    sock = udp()
    sock.connect(address(port))
    sock.settimeout(TIMEOUT_S)
    return context.wrap_socket(sock, server_hostname="localhost")


def echo(connection):
    send, recv = connection.send, connection.recv
    data = None
    while data != END:
        data = recv(MTU)
        send(data)


def rounds(connection, count, data):
    """Microseconds for so many echoes, each sent when the one before has come."""
    send, recv = connection.send, connection.recv
    start = ticks_us()
    for _ in range(count):
        send(data)
        recv(MTU)
    return ticks_diff(ticks_us(), start)


def rate(folder, first, second, pairs, each, size):
    sides = (ours(folder, first), bare(folder, second))
    data = bytes(size)
    for side in sides:
        rounds(side, each, data)
    found = [[rounds(side, each, data) for side in sides] for _ in range(pairs)]
    for side in sides:
        side.send(END)
    return found


if sys.argv[1] == "rate":
    print(json.dumps(rate(sys.argv[2], *map(int, sys.argv[3:8]))))
else:
    echo({"ours": serve_ours, "bare": serve_bare}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
