"""An emulated Pico as a process: its REPL on one socket, requests of a test or a benchmark on another.

REPL: the bytes of the serial port, to and from each client (`mpremote connect socket://127.0.0.1:PORT`).
Requests: a line of JSON each, one at a time on a connection; lines of JSON as answer:

    {"run": source, "timeout_ms": 60000, "reset": true}
        → {"output": text} and {"error": text} as they are printed,
          then {"result": …} as of Machine.run, or {"failed": [code, text]} of an EmulatorError

Closing the connection interrupts the script.
"""

import asyncio
import json
import os
import socket
import sys

from emulator import HOST
from emulator.errors import EmulatorError, PortInUse, ProtocolError
from emulator.machine import Machine

READ_BYTES = 4096
REQUEST_BYTES = 1024 * 1024
INTERRUPT = b"\x03\x03"


async def serve(uf2, elf, repl_port=0, flash=None, say=print):
    """Start a machine and serve it until standard input ends. `say` gets a line of JSON once it is up."""
    listener = _listen(repl_port)
    machine = Machine(uf2, elf, flash)
    try:
        await machine.start()
        repl = await asyncio.start_server(_repl(machine), sock=listener)
        control = await asyncio.start_server(
            _control(machine), HOST, 0, family=socket.AF_INET, limit=REQUEST_BYTES
        )
        say(json.dumps({"repl": _port(repl), "control": _port(control)}))
        await asyncio.to_thread(sys.stdin.read)
    finally:
        machine.stop()


def _listen(port):
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise PortInUse(
            f"port {port} of {HOST}: {os.strerror(error.errno)}; choose another: PORT=…"
        ) from error


def _port(server):
    return server.sockets[0].getsockname()[1]


def _repl(machine):
    async def handle(reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        machine.console.listeners.add(writer.write)
        try:
            while data := await reader.read(READ_BYTES):
                machine.console.write(data)
        except ConnectionError:
            pass  # a client may leave as it likes
        finally:
            machine.console.listeners.discard(writer.write)
            writer.close()

    return handle


def _control(machine):
    async def handle(reader, writer):
        def answer(**message):
            writer.write(json.dumps(message).encode() + b"\n")

        try:
            while line := await reader.readline():
                running = asyncio.create_task(_answer(machine, line, answer))
                left = asyncio.create_task(reader.read(1))
                await asyncio.wait({running, left}, return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    running.cancel()
                    machine.console.write(INTERRUPT)
                    break
                left.cancel()
                await asyncio.gather(left, return_exceptions=True)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return handle


async def _answer(machine, line, answer):
    try:
        try:
            request = json.loads(line)
            source, timeout_ms, reset = request["run"], request["timeout_ms"], request["reset"]
        except (ValueError, KeyError) as error:
            raise ProtocolError(
                f"a request needs run, timeout_ms and reset: {error!r} of {line[:80]!r}"
            ) from error
        done = await machine.run(
            source, timeout_ms, reset=reset, on_output=lambda event, text: answer(**{event: text})
        )
    except EmulatorError as error:
        answer(failed=[error.code, str(error)])
    else:
        answer(result=done)
