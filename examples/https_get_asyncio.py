"""The same under asyncio: two pages side by side, through asyncio's own open_connection.

A SecureContext stands wherever MicroPython takes an ssl context; nothing else changes.
"""

import asyncio

from securesocket import SecureContext

HOST = "example.com"
PORT = 443
PATHS = ("/", "/index.html")

# asyncio has no limit of its own: a server that falls silent would hold its task for ever.
TIMEOUT_S = 30


async def get(context, host, port, path):
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        # The handshake runs inside the first write or read: what is wrong with the server raises there.
        writer.write(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, host)).encode())
        await writer.drain()
        status = (await reader.readline()).decode().strip()
        left = 0
        while True:
            name, _, value = (await reader.readline()).decode().strip().partition(":")
            if not name:
                break  # the headers end with an empty line
            if name.lower() == "content-length":
                left = int(value)
        size = 0
        # As much as was announced, not up to the end: where the last data and the end arrive together,
        # asyncio sleeps until the server closes the TCP connection too.
        while left > 0:
            chunk = await reader.read(min(left, 1024))
            if not chunk:
                break
            left -= len(chunk)
            size += len(chunk)
        # reader.s is asyncio's name for the stream below, which knows how the server was verified.
        print("%s, %d bytes of %s\n%s" % (status, size, path, reader.s.report))
    finally:
        await writer.wait_closed()  # closes the connection


async def main(host=HOST, port=PORT, paths=PATHS, secure=None):
    context = SecureContext(**(secure or {}))  # its options are checked once
    await asyncio.gather(*[asyncio.wait_for(get(context, host, port, path), TIMEOUT_S) for path in paths])


if __name__ == "__main__":
    asyncio.run(main())
