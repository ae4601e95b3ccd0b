"""Two tenants behind one port: each has its own name, certificate, and CA for its clients.

Files on the board: for the house and each tenant NAME.crt and NAME.key, what this server presents, and
NAME-ca.crt, the CA of the clients that it lets in.
"""

import asyncio

from certstore.names import format_name
from securesocket import ServerContext, start_server

ADDRESS = "0.0.0.0"
PORT = 4777
# Who asks for another name, or for none, meets the house.
HOUSE = "house"
TENANTS = {"north.example": "north", "south.example": "south"}


def text(path):
    with open(path) as file:
        return file.read()


def identity(name):
    return text(name + ".crt"), text(name + ".key")


async def serve(reader, writer):
    client = writer.get_extra_info("ssl_object")
    # mbedTLS has verified the certificate against the CA that belongs to server_name, and no other.
    who = format_name(client.peer_certificate.subject)
    print("open: asked for %s, authorized %s, certificate %s" % (client.server_name, client.authorized, who))
    tenant = TENANTS.get(client.server_name)
    if tenant is None:
        # What HTTP calls 421: connected, and nobody of that name lives here.
        writer.write(b"421 nobody of this name here\n")
    else:
        writer.write(("200 welcome to %s, %s\n" % (tenant, who)).encode())
    await writer.drain()


def refused(error, address):
    print("refused: %s, %s: %s" % (type(error).__name__, error.code, error))


async def main(address=ADDRESS, port=PORT):
    context = ServerContext(
        identity=identity(HOUSE), request_client_certificate="required", trust=text(HOUSE + "-ca.crt")
    )
    for hostname, name in TENANTS.items():
        context.add_context(hostname, identity(name), trust=text(name + "-ca.crt"))
    server = await start_server(serve, address, port, secure=context, on_failure=refused)
    print("listening: %s, port %d" % server.address())
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
