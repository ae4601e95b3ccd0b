"""`make example NAME=coap`: CoAP over DTLS, MicroPython and libcoap as client and server of each other."""

import contextlib
import shutil
import socket
import sys
import time

from stage import HOST, Missing, chapter, free_port, play

LIBRARIES = ("openssl", "gnutls")


def program(name):
    """libcoap's program, with whichever TLS library it was built."""
    for library in LIBRARIES:
        if found := shutil.which(f"{name}-{library}"):
            return found
    raise Missing(f"{name} is not installed: apt-get install libcoap3-bin")


def wait_for(port):
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.1)
    raise Missing(f"nobody listens on port {port}")


def coap(stage):
    chapter("A CA, the server's certificate, a client's")
    stage.command("identity", "new-ca", "--name", "CoAP CA", "--plain", "--out", "ca")
    stage.command(
        "identity", "new", "--name", "coap", "--host", "localhost", "--for", "server", "--ca", "ca.crt",
        "--plain", "--out", "coap",
    )  # fmt: skip
    stage.command("identity", "new", "--name", "sensor", "--ca", "ca.crt", "--plain", "--out", "sensor")

    chapter("libcoap's server, a client on MicroPython")
    # Its DTLS port is the one behind the plain one.
    port = free_port()
    words = ["-A", HOST, "-p", port - 1, "-c", "coap.crt", "-j", "coap.key", "-n", "-v", "6"]
    stage.program("coap-server", [program("coap-server"), *words])
    # It opens its TCP port after its UDP ports.
    wait_for(port - 1)
    client = stage.board("client", "coap_client", "localhost", port)
    client.ends()
    client.expect(r"^verified: CN=CoAP CA$")
    client.expect(r"^answer 2\.05: \w+ \d+ \d\d:\d\d:\d\d")

    chapter("A server on MicroPython, libcoap's client")
    port = free_port()
    server = stage.board("server", "coap_server", HOST, port)
    server.expect("^listening: ")
    for path, output in (("hello", "^hello, CN=sensor$"), ("nothing", r"4\.04")):
        sensor = stage.program(
            "coap-client",
            [program("coap-client"), "-R", "ca.crt", "-c", "sensor.crt", "-j", "sensor.key", "-m", "get",
             f"coaps://localhost:{port}/{path}"],
        )  # fmt: skip
        sensor.expect(output)
        sensor.ends()
        server.expect(f"^GET /{path} from CN=sensor$")

    chapter("A client without a certificate")
    stranger = stage.board("stranger", "coap_client", "localhost", port)
    stranger.expect("^HandshakeError: the peer refused the handshake with an alert")
    server.expect("^refused: CertificateError, client-certificate$")


if __name__ == "__main__":
    sys.exit(play(coap))
