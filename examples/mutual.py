"""`make example NAME=mutual`: two tenants behind one port, each with its name, certificate and clients."""

import sys

from stage import HOST, chapter, free_port, play

TENANTS = ("north", "south")


def mutual(stage):
    port = free_port()
    chapter("For the house and each tenant: a CA, the server's certificate, a client's")
    for name in ("house", *TENANTS):
        ca = f"{name}-ca"
        stage.command("identity", "new-ca", "--name", f"{name} CA", "--plain", "--out", ca)
        for made, use in ((name, ["--host", f"{name}.example", "--for", "server"]), (f"{name}-client", [])):
            stage.command(
                "identity", "new", "--name", made, *use, "--ca", f"{ca}.crt", "--plain", "--out", made
            )

    chapter("The server")
    server = stage.board("server", "mutual_server", HOST, port)
    server.expect("^listening: ")

    chapter("Each tenant's client is let in, by name and certificate")
    for tenant in TENANTS:
        client = stage.board(f"{tenant}-client", "mutual_client", tenant, f"{tenant}-client", HOST, port)
        client.ends()
        client.expect(rf"^answer: 200 welcome to {tenant}, CN={tenant}-client$")
        server.expect(
            rf"^open: asked for {tenant}\.example, authorized True, certificate CN={tenant}-client$"
        )

    chapter("The other tenant's client is not, nor one without a certificate")
    intruder = stage.board("north-client", "mutual_client", "south", "north-client", HOST, port)
    intruder.ends()
    # It reads the server's alert, or finds the connection closed while it is still sending.
    intruder.expect("^no answer: HandshakeError, (alert|connection-lost|peer-closed): ")
    server.expect("^refused: UnknownIssuer, unknown-issuer: ")
    nobody = stage.board("nobody", "mutual_client", "south", None, HOST, port)
    nobody.ends()
    nobody.expect("^no answer: HandshakeError, (alert|connection-lost|peer-closed): ")
    server.expect("^refused: CertificateError, client-certificate: ")

    chapter("A name that nobody here has")
    openssl = stage.program(
        "openssl",
        ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-servername", "west.example", "-quiet",
         "-cert", "house-client.crt", "-key", "house-client.key", "-CAfile", "house-ca.crt"],
    )  # fmt: skip
    openssl.expect("^421 nobody of this name here$")
    server.expect(r"^open: asked for west\.example, authorized True, certificate CN=house-client$")


if __name__ == "__main__":
    sys.exit(play(mutual))
