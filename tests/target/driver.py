"""Runs on MicroPython, in front of a test's own lines: one connection in each way that there is, and what
became of it as JSON."""

# ruff: noqa: F401 (the test's own lines use these)

import asyncio
import gc
import io
import json
import os
import select
import socket
import sys
import time

from securesocket import SecureContext, SecureSocket

HOST = "127.0.0.1"


def open_files():
    return len(os.listdir("/proc/self/fd"))


def tcp(port):
    connection = socket.socket()
    connection.connect(socket.getaddrinfo(HOST, port)[0][-1])
    return connection


class UserStream(io.IOBase):
    """A stream that someone else wrote: no socket, no setblocking, no settimeout."""

    def __init__(self, inner):
        self.inner = inner
        self.poller = select.poll()
        self.poller.register(inner)
        self.closed = 0

    def readinto(self, buf):
        return self.inner.readinto(buf)

    def write(self, buf):
        return self.inner.write(buf)

    def ioctl(self, request, arg):
        if request == 3:  # MP_STREAM_POLL
            self.poller.modify(self.inner, arg)
            for entry in self.poller.ipoll(0):
                return entry[1]
            return 0
        if request == 4:  # MP_STREAM_CLOSE
            self.close()
            return 0
        return -22  # EINVAL; 0 would be an answer to MP_STREAM_GET_FILENO

    def close(self):
        self.closed += 1
        self.inner.close()


def describe(error):
    told = {"class": type(error).__name__, "text": str(error), "repr": repr(error)}
    for name in ("code", "found", "expected", "remedy", "errno", "alert", "direction", "stage"):
        told[name] = getattr(error, name, None)
    told["failures"] = [[type(one).__name__, one.code] for one in getattr(error, "failures", ())]
    certificate = getattr(error, "certificate", None)
    told["certificate"] = bytes(certificate.der).hex() if certificate is not None else None
    return told


def facts(stream, result):
    report = stream.report
    result["authorized"] = stream.authorized
    result["authorization_error"] = stream.authorization_error and describe(stream.authorization_error)
    result["cipher"] = stream.cipher()
    result["version"] = stream.version()
    result["chain"] = report.chain
    result["anchor"] = report.anchor
    result["anchor_source"] = report.anchor_source
    certificate = stream.peer_certificate
    result["certificate"] = bytes(certificate.der).hex() if certificate is not None else None


def exchange(stream, result):
    """A line there and back."""
    stream.write(b"ping\n")
    result["reply"] = stream.readline()
    facts(stream, result)


def how_socket(row, secure, result):
    stream = SecureSocket(row["host"], row["port"], secure, row["timeout_ms"])
    result["stream"] = stream
    exchange(stream, result)


def how_wrap(row, secure, result):
    stream = SecureSocket.wrap(tcp(row["port"]), row["host"], secure, row["timeout_ms"])
    result["stream"] = stream
    exchange(stream, result)


def how_stream(row, secure, result):
    result["inner"] = inner = UserStream(tcp(row["port"]))
    inner.inner.setblocking(False)  # as a stream with a deadline must be: it has no setblocking of its own
    stream = SecureSocket.wrap(inner, row["host"], secure, row["timeout_ms"])
    result["stream"] = stream
    inner.inner.setblocking(True)
    exchange(stream, result)


def how_context(row, secure, result):
    stream = SecureContext(**secure).wrap_socket(tcp(row["port"]), server_hostname=row["host"])
    result["stream"] = stream
    exchange(stream, result)


def how_later(row, secure, result):
    """do_handshake_on_connect=False over a blocking socket: the handshake is in the first write."""
    context = SecureContext(**secure)
    stream = context.wrap_socket(tcp(row["port"]), server_hostname=row["host"], do_handshake_on_connect=False)
    result["stream"] = stream
    exchange(stream, result)


def how_open(row, secure, result):
    async def main():
        stream = await SecureSocket.open(row["host"], row["port"], secure, row["timeout_ms"])
        result["stream"] = stream
        await through_streams(asyncio.StreamReader(stream), asyncio.StreamWriter(stream, {}))

    async def through_streams(reader, writer):
        writer.write(b"ping\n")
        await writer.drain()
        result["reply"] = await reader.readline()
        facts(result["stream"], result)
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


def how_asyncio(row, secure, result):
    async def main():
        context = SecureContext(**secure)
        reader, writer = await asyncio.open_connection(
            HOST, row["port"], ssl=context, server_hostname=row["host"]
        )
        result["stream"] = writer.s
        writer.write(b"ping\n")
        await writer.drain()
        result["reply"] = await reader.readline()
        facts(writer.s, result)
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


HOWS = {
    "socket": how_socket,
    "open": how_open,
    "wrap": how_wrap,
    "stream": how_stream,
    "context": how_context,
    "later": how_later,
    "asyncio": how_asyncio,
}


def attempt(how="socket", port=0, secure=None, host="localhost", timeout_ms=10000, **more):
    """One connection. more: answer, what on_bad_certificate returns; again, how often to read afterwards."""
    asked = []
    secure = dict(secure or {})
    if "store" in secure:
        from certstore.store import CertStore

        secure["trust"] = CertStore(secure.pop("store"))
    if "answer" in more:

        def decide(certificate, failures):
            asked.append([[type(one).__name__, one.code] for one in failures])
            return more["answer"]

        secure["on_bad_certificate"] = decide
    result = {}
    started = time.ticks_ms()
    try:
        HOWS[how]({"host": host, "port": port, "timeout_ms": timeout_ms}, secure, result)
    except Exception as error:
        result["error"] = describe(error)
    result["ms"] = time.ticks_diff(time.ticks_ms(), started)
    result["asked"] = asked
    stream = result.pop("stream", None)
    inner = result.pop("inner", None)
    if stream is not None:
        if "error" not in result:
            stream.close()
        result["latched"] = [latched(stream.read, 1), latched(stream.write, b"x"), latched(stream.readline)]
        stream.close()
    if inner is not None:
        result["closed"] = inner.closed
    if isinstance(result.get("reply"), bytes):
        result["reply"] = result["reply"].decode()
    return result


def latched(function, *args):
    try:
        function(*args)
    except Exception as error:
        return [type(error).__name__, getattr(error, "code", None)]


def tell(value):
    print("RESULT", json.dumps(value))
