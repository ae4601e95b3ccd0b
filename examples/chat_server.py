"""A chat over raw TLS: what a member says, all others hear. The server's identity is found by its subject in
this device's store, where its key is encrypted; the password comes from a file.

On a board: `mpremote cp roots.bin pwdfile :`, then `mpremote run chat_server.py`.
"""

import asyncio

from securesocket import default_store, start_server

ADDRESS, PORT = "0.0.0.0", 4777
MAX_MEMBERS, MAX_LINE_BYTES = 8, 256
members = {}


def tell_others(name, text):
    print(text)
    for other, writer in list(members.items()):
        if other != name:
            writer.write((text + "\n").encode())
            if writer.out_buf:
                writer.s.close()  # it does not read; nothing is kept for it


async def line_of(reader):
    line = b""
    while len(line) < MAX_LINE_BYTES and not line.endswith(b"\n"):
        line += await reader.readexactly(1)
    # A terminal must not obey what somebody else typed.
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in line.strip())


async def chat(reader, writer):
    name = await line_of(reader)
    if not name or name in members:
        return
    members[name] = writer
    how = "has left"
    try:
        writer.write(("* here are: %s\n" % ", ".join(sorted(members))).encode())
        tell_others(name, "* %s has joined" % name)
        while (line := await line_of(reader)) != "/quit":
            tell_others(name, "%s: %s" % (name, line))
    except (OSError, EOFError):
        how = "was lost"  # who leaves says /quit
    del members[name]
    tell_others(name, "* %s %s" % (name, how))


async def main(address=ADDRESS, port=PORT, password_file="pwdfile"):
    default_store().unlock(open(password_file, "rb").read().strip())
    server = await start_server(chat, address, port, "CN=dartcert", max_connections=MAX_MEMBERS)
    print("* listening: %s, port %d" % server.address())
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
