"""Records what real clients say first: tests/vectors/hellos/*.bin and README.md.

    PYTHONPATH=tests:lib/certstore python tests/vectors/hellos/make_hellos.py

Needs openssl, gnutls-cli, curl and the stock build. Each client is pointed at a socket on loopback that
reads its first flight and hangs up. Chromium is no part of this: `grease.bin` is put together here, field by
field in the order and sizes in which Chromium sends them (GREASE of RFC 8701, X25519MLKEM768, ECH, ALPS).
"""

import os
import random
import socket
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
NAME = "device-17.example"
ROOT = HERE.parent.parent.parent
MICROPYTHON = ROOT / "build" / "unix" / "stock" / "micropython"
HEAD = """# What clients say first

The ClientHello of real clients, with its record header (of DTLS the whole datagram), as recorded by
`make_hellos.py`, which also says how `grease.bin` was made.

| file | client | what | bytes |
|---|---|---|---|
"""
DEVICE = """
import socket, sys, tls
s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
c.verify_mode = tls.CERT_NONE
c.wrap_socket(s, server_hostname=sys.argv[2])
"""


def exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the client closed"
        data += piece
    return data


def said(words):
    """The first message of the client that `words` start; {port} in them is where it is to connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        client = subprocess.Popen(
            [word.format(port=port) for word in words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                header = exactly(connection, 5)
                return header + exactly(connection, int.from_bytes(header[3:]))
        finally:
            client.kill()
            client.wait()


def said_in_datagrams(words, cookie):
    """The first datagram of a DTLS client, and the one in which it repeats `cookie`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        port = listener.getsockname()[1]
        client = subprocess.Popen(
            [word.format(port=port) for word in words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            first, peer = listener.recvfrom(65536)
            # HelloVerifyRequest (RFC 6347 4.2.1)
            body = b"\xfe\xff" + bytes([len(cookie)]) + cookie
            size = len(body).to_bytes(3, "big")
            message = b"\x03" + size + bytes(5) + size + body
            listener.sendto(b"\x16\xfe\xff" + bytes(8) + len(message).to_bytes(2, "big") + message, peer)
            return first, listener.recv(65536)
        finally:
            client.kill()
            client.wait()


def vector(width, content):
    return len(content).to_bytes(width, "big") + content


def extension(kind, content=b""):
    return kind.to_bytes(2, "big") + vector(2, content)


def numbers(*values):
    return b"".join(value.to_bytes(2, "big") for value in values)


def grease():
    """A ClientHello as Chromium's."""
    dice = random.Random(8701)
    suites = numbers(
        0x1A1A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014,
        0x009C, 0x009D, 0x002F, 0x0035,
    )  # fmt: skip
    shares = (
        numbers(0x3A3A) + vector(2, b"\0")
        + numbers(0x11EC) + vector(2, dice.randbytes(1216))
        + numbers(29) + vector(2, dice.randbytes(32))
    )  # fmt: skip
    outer = b"\0" + numbers(1, 1) + b"\x2f" + vector(2, dice.randbytes(32)) + vector(2, dice.randbytes(144))
    extensions = b"".join((
        extension(0x4A4A),
        extension(27, vector(1, numbers(2))),
        extension(5, b"\1\0\0\0\0"),
        extension(0, vector(2, b"\0" + vector(2, b"device-17.example"))),
        extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1"))),
        extension(0xFF01, b"\0"),
        extension(18),
        extension(43, vector(1, numbers(0x5A5A, 0x0304, 0x0303))),
        extension(17613, vector(2, vector(1, b"h2"))),
        extension(51, vector(2, shares)),
        extension(23),
        extension(45, b"\1\1"),
        extension(11, b"\1\0"),
        extension(35),
        extension(10, vector(2, numbers(0x3A3A, 0x11EC, 29, 23, 24))),
        extension(13, vector(2, numbers(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601))),
        extension(65037, outer),
        extension(0x6A6A, b"\0"),
    ))  # fmt: skip
    body = (
        numbers(0x0303) + dice.randbytes(32) + vector(1, dice.randbytes(32))
        + vector(2, suites) + vector(1, b"\0") + vector(2, extensions)
    )  # fmt: skip
    return b"\x16\x03\x01" + vector(2, b"\1" + vector(3, body))


def main():
    rows = []

    def keep(stem, client, what, data):
        (HERE / f"{stem}.bin").write_bytes(data)
        rows.append(f"| `{stem}.bin` | {client} | {what} | {len(data)} |\n")

    openssl = ("openssl", "s_client", "-connect", "127.0.0.1:{port}")
    name = ("-servername", NAME)
    keep("openssl", "openssl s_client", "as it comes, TLS 1.3", said((*openssl, *name)))
    keep(
        "openssl12", "openssl s_client", "`-tls1_2`, ALPN, name in upper case",
        said((*openssl, "-tls1_2", "-alpn", "mqtt,x-coap", "-servername", "DEVICE-17.Example")),
    )  # fmt: skip
    keep(
        "noname", "openssl s_client", "`-tls1_2 -noservername`", said((*openssl, "-tls1_2", "-noservername"))
    )
    keep(
        "gnutls", "gnutls-cli", "as it comes, TLS 1.3",
        said(("gnutls-cli", "--insecure", "--sni-hostname", NAME, "-p", "{port}", "127.0.0.1")),
    )  # fmt: skip
    keep(
        "curl", "curl", "ALPN h2 and http/1.1",
        said(("curl", "-sk", "--connect-to", "device-17.example:443:127.0.0.1:{port}",
              "https://device-17.example/")),
    )  # fmt: skip
    device = (str(MICROPYTHON), "-c", DEVICE.replace("{", "{{").replace("}", "}}"), "{port}")
    os.environ["MICROPYPATH"] = ".frozen"
    keep("micropython", "MicroPython's tls", "TLS 1.2", said((*device, NAME)))
    keep("address", "MicroPython's tls", "an IPv4 address as server_name", said((*device, "192.168.4.1")))
    keep("grease", "as Chromium's", "GREASE, ECH, X25519MLKEM768, TLS 1.3", grease())
    first, second = said_in_datagrams((*openssl, "-dtls1_2", *name), bytes(range(20)))
    keep("dtls", "openssl s_client", "`-dtls1_2`, without a cookie", first)
    keep("dtls_cookie", "openssl s_client", "`-dtls1_2`, with a cookie of 20 bytes", second)
    (HERE / "README.md").write_text(HEAD + "".join(rows))


if __name__ == "__main__":
    main()
