"""A secure echo server: every client gets back what it sends.

On a board: `securesocket identity new --name echo --host board.local --plain --store roots.bin` makes a store
with the server's identity; `mpremote cp roots.bin :`, then `mpremote run echo_server.py`.
"""

import asyncio

from securesocket import start_server

ADDRESS = "0.0.0.0"
PORT = 4777
CHUNK_BYTES = 512


async def echo(reader, writer):
    client = writer.get_extra_info("ssl_object")
    print("open: %s, %s" % (client.remote_address[0], client.version()))
    size = 0
    while True:
        # Under asyncio: what has come, up to so many bytes.
        chunk = await reader.read(CHUNK_BYTES)
        if not chunk:
            break
        writer.write(chunk)
        await writer.drain()
        size += len(chunk)
    # A client that ends TLS before TCP is told apart from one whose last bytes somebody may have cut off.
    print("closed: %d bytes, the client %s" % (size, "hung up" if client.truncated else "said goodbye"))
    # When this function ends, however it ends, the connection is closed.


def refused(error, address):
    # Told of every client whose handshake failed; the others do not notice.
    print("refused: %r" % error)


async def main(address=ADDRESS, port=PORT, identity="echo"):
    server = await start_server(echo, address, port, identity, on_failure=refused)
    print("listening: %s, port %d" % server.address())
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
