"""A member of the chat: what is typed goes to the others, what they say is printed; /quit ends it.

The server has signed its certificate itself, so exactly this certificate is trusted: a file that its owner
gives away. On a board: set HOST and NAME, `mpremote cp dartcert.crt :`, then `mpremote run chat_client.py`.
"""

import asyncio
import sys

from securesocket import SecureSocket

HOST = "chat.local"
PORT = 4777
NAME = "somebody"


async def listen(server):
    while True:
        line = await server.readline()
        if not line:
            print("* the server is gone")
            return
        print(line.decode().strip())


async def main(name=NAME, host=HOST, port=PORT, certificate="dartcert.crt"):
    stream = await SecureSocket.open(host, port, {"trust": open(certificate).read()})
    server = asyncio.StreamReader(stream)
    keyboard = asyncio.StreamReader(sys.stdin)
    listening = asyncio.create_task(listen(server))
    try:
        line = name
        while line != "/quit":
            server.write((line + "\n").encode())
            await server.drain()
            typed = await keyboard.readline()
            line = typed.decode().strip() if typed else "/quit"
        server.write(b"/quit\n")
        await server.drain()
    finally:
        listening.cancel()
        stream.close()


if __name__ == "__main__":
    asyncio.run(main())
