"""`make example NAME=echo`: a secure echo server on MicroPython, with a client there, and openssl."""

import socket
import sys

from stage import HOST, chapter, free_port, play


def echo(stage):
    port = free_port()
    chapter("A certificate for the server, in its store")
    stage.command("identity", "new-ca", "--name", "Echo CA", "--plain", "--out", "ca")
    stage.command(
        "identity", "new", "--name", "echo", "--host", "localhost", "--ca", "ca.crt", "--plain",
        "--store", "roots.bin",
    )  # fmt: skip

    chapter("The server, and a client on MicroPython")
    server = stage.board("server", "echo_server", HOST, port)
    server.expect(r"^listening: 127\.0\.0\.1, port ")
    client = stage.board("client", "echo_client", "localhost", port, "ca.crt")
    client.ends()
    client.expect(r"^verified: CN=Echo CA$")
    client.expect(r"^sent 'three', got 'three'$")
    server.expect(r"^closed: 14 bytes, the client hung up$")

    chapter("openssl as the client")
    openssl = stage.program(
        "openssl",
        ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-servername", "localhost", "-brief",
         "-CAfile", "ca.crt", "-verify_hostname", "localhost", "-verify_return_error"],
    )  # fmt: skip
    openssl.expect("^Verification: OK$")
    openssl.type("a line from openssl")
    openssl.expect("^a line from openssl$")
    # Q at the start of a line: s_client says goodbye, and ends.
    openssl.type("Q")
    openssl.ends()
    server.expect(r"^closed: 20 bytes, the client said goodbye$")

    chapter("A client that does not know this CA, and one that is none")
    stage.command("identity", "new-ca", "--name", "Another CA", "--plain", "--out", "other")
    stranger = stage.board("stranger", "echo_client", "localhost", port, "other.crt")
    stranger.expect(r"^UnknownIssuer: ")
    # The server reads the client's alert, or finds the connection closed while it is still sending.
    server.expect(r"^refused: HandshakeError: the (peer refused|connection broke|peer closed)")
    with socket.create_connection((HOST, port)) as scanner:
        scanner.sendall(b"GET / HTTP/1.0\r\n\r\n")
        server.expect(r"^refused: HandshakeError: the peer does not speak TLS")


if __name__ == "__main__":
    sys.exit(play(echo))
