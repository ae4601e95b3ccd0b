"""Records what real servers say before encryption: tests/vectors/flights/*.bin, roots and README.md.

    PYTHONPATH=tests:lib/certstore python tests/vectors/flights/make_flights.py

Needs openssl and gnutls-serv. Keys and randoms are new on every run.
"""

import socket
import ssl
import tempfile
from pathlib import Path

from plugins import peers, pki

HERE = Path(__file__).parent
HEAD = """# What servers say before encryption

The bytes from server to client up to and including ServerHelloDone (or the alert; of TLS 1.3 the
ServerHello's record), as recorded from real servers by `make_flights.py`. `Certificate` is where that
handshake message's header and body are: offsets in the file, the body as [start, stop). `<root>.der` is
the root of the chain that is sent (leaf, intermediate), which is not in it.

| file | peer | what | bytes | records | Certificate header | body | certificates | root |
|---|---|---|---|---|---|---|---|---|
"""


def client_hello(maximum, ciphers=None):
    """The first flight of a client, by CPython's ssl."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def record_flight(port, hello):
    """What the server answers to `hello`, to the end of its plain part."""
    data = b""
    with socket.create_connection((peers.HOST, port)) as connection:
        connection.settimeout(5)
        connection.sendall(hello)
        while True:
            for kind, content in peers.records(data):
                if kind == peers.ALERT:
                    return data[:7]
                if kind == peers.CHANGE_CIPHER_SPEC:
                    return data[: data.index(b"\x14\x03\x03\x00\x01\x01")]
            found = peers.messages(data)
            if found and found[-1][0] == peers.SERVER_HELLO_DONE:
                return data
            piece = connection.recv(65536)
            assert piece, "the server closed"
            data += piece


def describe(data):
    """(number of records, offset of the Certificate message's header, body's start and stop) as text."""
    kinds = peers.records(data)
    at = 0
    for kind, content in kinds:
        inner = 0
        while kind == peers.HANDSHAKE and inner < len(content):
            size = int.from_bytes(content[inner + 1 : inner + 4])
            if content[inner] == peers.CERTIFICATE and inner + 4 + size <= len(content):
                start = at + 5 + inner
                count = len(peers.certificates(data))
                return f"{len(kinds)} | {start} | [{start + 4}, {start + 4 + size}) | {count}"
            inner += 4 + size
        at += 5 + len(content)
    return f"{len(kinds)} | – | – | {len(peers.certificates(data) or [])}"


def main():
    rows = []
    chains = {}
    for kind in ("ec", "rsa2048"):
        root = pki.make(
            f"Flight root {kind}",
            ca=True,
            key=kind,
            not_before=pki.NOW - 365 * pki.DAY,
            not_after=pki.NOW + 9000 * pki.DAY,
        )
        middle = pki.make(f"Flight intermediate {kind}", root, ca=True, key=kind)
        chains[kind] = [pki.make("localhost", middle, key=kind), middle]
        (HERE / f"root_{kind[:3].rstrip('2')}.der").write_bytes(root.der)
    version12, version13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

    def keep(stem, peer, what, data, root):
        (HERE / f"{stem}.bin").write_bytes(data)
        rows.append(f"| `{stem}.bin` | {peer} | {what} | {len(data)} | {describe(data)} | {root} |\n")
        return data

    with tempfile.TemporaryDirectory() as folder:

        def ask(server, hello):
            try:
                return record_flight(server.port, hello)
            finally:
                server.stop()

        def openssl(kind, *words):
            return peers.OpensslServer(folder, chains[kind], *words)

        hello = client_hello(version12)
        ec, rsa = "`root_ec.der`", "`root_rsa.der`"
        data = keep("openssl_ec", "openssl", "EC P-256", ask(openssl("ec"), hello), ec)
        keep("openssl_rsa", "openssl", "RSA 2048", ask(openssl("rsa2048"), hello), rsa)
        keep("gnutls_ec", "gnutls-serv", "EC P-256", ask(peers.GnutlsServer(folder, chains["ec"]), hello), ec)
        one = peers.record(peers.HANDSHAKE, peers.joined(peers.messages(data)))
        keep("coalesced_ec", "openssl", "`openssl_ec.bin` in one record", one, ec)
        plain = peers.joined(peers.messages(data))
        split = b"".join(
            peers.record(peers.HANDSHAKE, plain[at : at + 300]) for at in range(0, len(plain), 300)
        )
        keep("fragmented_ec", "openssl", "`openssl_ec.bin` in records of 300 bytes", split, ec)
        keep(
            "client_auth_ec",
            "openssl",
            "with CertificateRequest",
            ask(openssl("ec", "-verify", "1"), hello),
            ec,
        )
        keep("tls13", "openssl", "ServerHello of TLS 1.3", ask(openssl("ec"), client_hello(version13)), ec)
        server = openssl("ec", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
        keep(
            "alert", "openssl", "alert handshake_failure (40): no cipher suite in common",
            ask(server, client_hello(version12, "ECDHE-ECDSA-AES128-GCM-SHA256")), "–",
        )  # fmt: skip
    (HERE / "README.md").write_text(HEAD + "".join(rows))


if __name__ == "__main__":
    main()
