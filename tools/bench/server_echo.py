"""An asyncio server that echoes lines, on a heap that it leaves to its connections.

server_echo.py FOLDER PORT [when_full]: prints READY; "heap" is answered with figures, "stop" ends it.
FOLDER: as for server.py.
"""

import asyncio
import gc
import sys

from securesocket import start_server

COUNTERS = ("connections", "accepted", "failed", "refused", "waited")


def read(name):
    with open(sys.argv[1] + name, "rb") as file:
        return file.read()


async def echo(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            return
        if line == b"heap\n":
            line = figures()
        elif line == b"stop\n":
            stop.set()
        writer.write(line)
        await writer.drain()


def figures():
    gc.collect()
    gc.collect()
    told = ['"%s": %d' % (name, getattr(server, name)) for name in COUNTERS]
    told += ['"alloc": %d, "free": %d' % (gc.mem_alloc(), gc.mem_free())]
    return b"{%s}\n" % ", ".join(told)


async def main():
    global server, stop
    stop = asyncio.Event()
    identity = [read("/leaf.der"), read("/above.der")], read("/key.der")
    how = sys.argv[3] if len(sys.argv) > 3 else "wait"
    server = await start_server(echo, "127.0.0.1", int(sys.argv[2]), identity, when_full=how)
    identity = None
    gc.collect()
    print("READY")
    await stop.wait()
    await asyncio.sleep_ms(50)
    server.close()


asyncio.run(main())
