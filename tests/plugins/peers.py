"""The servers that tests connect to, on free ports of loopback, and what stands between.

Each has `port` and `stop()`. Programs: OpensslServer, GnutlsServer. Threads of this process:
PythonServer (`ssl`), RawServer (no TLS), Proxy (changes the bytes on their way).
"""

import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
START_S = 15

# RFC 5246 6.2.1 and 7.4
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE = 2, 11, 12, 13, 14


# ---- TLS on the wire, as far as it is plain


def record(kind, content, version=0x0303):
    return struct.pack(">BHH", kind, version, len(content)) + content


def alert(number, level=2):
    return record(ALERT, bytes((level, number)))


def records(data):
    """[(kind, content)] of the whole records at the start of `data`."""
    found, at = [], 0
    while len(data) >= at + 5:
        kind, _, size = struct.unpack_from(">BHH", data, at)
        if len(data) < at + 5 + size:
            break
        found.append((kind, data[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


def messages(data):
    """[(type, body)] of the handshake messages before ChangeCipherSpec."""
    plain = b""
    for kind, content in records(data):
        if kind == CHANGE_CIPHER_SPEC:
            break
        if kind == HANDSHAKE:
            plain += content
    found, at = [], 0
    while len(plain) >= at + 4:
        size = int.from_bytes(plain[at + 1 : at + 4])
        if len(plain) < at + 4 + size:
            break
        found.append((plain[at], plain[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def certificates(data):
    """The certificates (DER) of the Certificate message in `data`; None if there is no such message."""
    for kind, body in messages(data):
        if kind == CERTIFICATE:
            found, at = [], 3
            while at < len(body):
                size = int.from_bytes(body[at : at + 3])
                found.append(body[at + 3 : at + 3 + size])
                at += 3 + size
            return found
    return None


# ---- programs


def write(folder, chain, stem=None):
    """(certificates' path, key's path): PEM files of a chain of Members."""
    path = Path(folder) / (stem or f"chain{time.monotonic_ns()}")
    crt, key = path.with_suffix(".crt"), path.with_suffix(".key")
    crt.write_bytes(b"".join(member.pem for member in chain))
    key.write_bytes(chain[0].private())
    return str(crt), str(key)


def free_port():
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


class Program:
    """A server that is a program; `output` is what it has printed so far."""

    def __init__(self, words, port=None):
        self.popen = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.output = b""
        self.port = port
        self._printed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while piece := os.read(self.popen.stdout.fileno(), 4096):
            with self._printed:
                self.output += piece
                self._printed.notify_all()

    def wait_for(self, pattern, timeout_s=START_S):
        """The match of `pattern` (bytes) in the output, once it is there."""
        with self._printed:
            found = self._printed.wait_for(lambda: re.search(pattern, self.output), timeout_s)
        assert found, f"{self.popen.args[0]} did not print {pattern!r}: {self.output!r}"
        return found

    def stop(self):
        self.popen.kill()
        self.popen.wait()


class OpensslServer(Program):
    """`openssl s_server`; answers as `mode` says: -www a page, -rev lines reversed, -quiet nothing."""

    def __init__(self, folder, chain, *words, mode="-www"):
        crt, key = write(folder, chain)
        super().__init__(
            ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", crt, "-key", key, "-cert_chain",
             _rest(crt, chain), mode, *words]
        )  # fmt: skip
        self.port = int(self.wait_for(rb"ACCEPT \S*:(\d+)")[1])


def _rest(crt, chain):
    path = Path(crt).with_suffix(".rest")
    path.write_bytes(b"".join(member.pem for member in chain[1:]) or chain[0].pem)
    return str(path)


class GnutlsServer(Program):
    """`gnutls-serv` that echoes lines."""

    def __init__(self, folder, chain, *words, mode="--echo"):
        crt, key = write(folder, chain)
        for _ in range(5):  # it cannot choose a port itself, and another may take the free one first
            port = free_port()
            super().__init__(
                ["gnutls-serv", mode, "--disable-client-cert", "--port", str(port), "--x509certfile", crt,
                 "--x509keyfile", key, *words], port
            )  # fmt: skip
            try:
                self.wait_for(rb"listening on IPv4[^\n]*done")
                return
            except AssertionError:
                self.stop()
        raise AssertionError(f"gnutls-serv does not start: {self.output!r}")


# ---- threads


class Listener:
    """Accepts on loopback, and runs serve(connection, number) for each connection in its own thread."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number, self.count = self.count, self.count + 1
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        with connection:
            try:
                self.serve(connection, number)
            except OSError:
                pass  # the client went away

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which else would keep it listening
        except OSError:
            pass
        self.listener.close()


class RawServer(Listener):
    """No TLS: calls answer(connection) with what the client sees as an open connection."""

    def __init__(self, answer):
        self.answer = answer
        super().__init__()

    def serve(self, connection, number):
        self.answer(connection)


def silent(connection):
    """Says nothing until the client goes."""
    while connection.recv(4096):
        pass


def says(data):
    """Answers the client's first bytes with `data`, and closes when the client does."""

    def answer(connection):
        connection.recv(4096)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        silent(connection)

    return answer


def echo(stream):
    while data := stream.recv(4096):
        stream.sendall(data)


PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


def page(stream):
    """Reads one request's head and answers with PAGE."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(4096)
        if not piece:
            return
        data += piece
    stream.sendall(PAGE)


class PythonServer(Listener):
    """CPython's ssl, TLS 1.2 to 1.3. `handler(stream)` answers; `received[n]` is what connection n got after
    its handshake, `errors[n]` why it has failed. client_ca: PEM; asks for a certificate of that CA."""

    def __init__(self, folder, chain, handler=echo, client_ca=None, setup=None):
        crt, key = write(folder, chain)
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(crt, key)
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.decode())
            context.verify_mode = ssl.CERT_OPTIONAL
        if setup:
            setup(context)
        self.handler = handler
        self.received, self.errors, self.peers = {}, {}, {}
        super().__init__()

    def serve(self, connection, number):
        try:
            stream = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            stream.do_handshake()
        except OSError as error:
            self.errors[number] = error
            stream.shutdown(socket.SHUT_WR)
            silent(stream)  # closing with bytes unread would reset the connection, and the alert with it
            return
        self.peers[number] = stream.getpeercert(True)
        self.received[number] = b""
        with stream:
            self.handler(_Recorded(stream, self.received, number))
            stream.setblocking(False)  # say close_notify, and wait for none
            stream.unwrap()


class _Recorded:
    def __init__(self, stream, received, number):
        self.stream, self.received, self.number = stream, received, number
        self.sendall = stream.sendall

    def recv(self, size):
        data = self.stream.recv(size)
        self.received[self.number] += data
        return data


# ---- the proxy


class Proxy(Listener):
    """Between client and servers. Connection n goes to hops[n] (the last one again and again): a port, or
    (port, shape). A shape is a generator function: it is sent each piece of what the server says, and
    yields the list of pieces to pass on; a number among them is a pause in seconds, None cuts the
    connection. sent[n] and answered[n]: what came from the client, and from the server."""

    def __init__(self, *hops):
        self.hops = [hop if isinstance(hop, tuple) else (hop, None) for hop in hops]
        self.sent, self.answered = {}, {}
        super().__init__()

    def serve(self, connection, number):
        port, shape = self.hops[min(number, len(self.hops) - 1)]
        self.sent[number] = self.answered[number] = b""
        with socket.create_connection((HOST, port)) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = threading.Thread(target=self._up, args=(connection, upstream, number), daemon=True)
            up.start()
            shaper = shape() if shape else plain()
            next(shaper)
            try:
                while data := upstream.recv(65536):
                    self.answered[number] += data
                    for piece in shaper.send(data):
                        if piece is None:
                            return
                        if isinstance(piece, bytes):
                            connection.sendall(piece)
                        else:
                            time.sleep(piece)
                connection.shutdown(socket.SHUT_WR)
                up.join()
            finally:
                for end in (connection, upstream):
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def _up(self, connection, upstream, number):
        try:
            while data := connection.recv(65536):
                self.sent[number] += data
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def plain():
    pieces = []
    while True:
        pieces = [(yield pieces)]


def segments(size, pause=0.0):
    """TCP segments of at most `size` bytes."""

    def shape():
        pieces = []
        while True:
            data = yield pieces
            pieces = []
            for at in range(0, len(data), size):
                pieces += [data[at : at + size], pause]

    return shape


def split_at(*positions):
    """The server's bytes with a pause of 5 ms before each of these positions."""

    def shape():
        seen, pieces = 0, []
        while True:
            data = yield pieces
            cuts = [position - seen for position in positions if seen < position < seen + len(data)]
            pieces = []
            for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
                pieces += [data[start:stop], 0.005]
            seen += len(data)

    return shape


def cut_after(size):
    """Closes the connection after `size` bytes of the server."""

    def shape():
        left, pieces = size, []
        while True:
            data = yield pieces
            pieces = [data[:left], None] if len(data) >= left else [data]
            left -= len(data)

    return shape


def stall_after(size):
    """Passes on nothing after `size` bytes of the server."""

    def shape():
        left, pieces = size, []
        while True:
            data = yield pieces
            pieces = [data[: max(0, left)]]
            left -= len(data)

    return shape


def flight(change):
    """Collects the server's first flight, to ServerHelloDone, and passes on change([(type, body)])."""

    def shape():
        data = b""
        pieces = []
        while True:
            data += yield pieces
            pieces = []
            found = messages(data)
            if found and found[-1][0] == SERVER_HELLO_DONE:
                pieces = [change(found)]
                break
        while True:
            pieces = [(yield pieces)]

    return shape


def joined(found):
    return b"".join(bytes((kind,)) + len(body).to_bytes(3) + body for kind, body in found)


def fragmented(size):
    """Each handshake message of the flight in records of `size` bytes."""

    def change(found):
        whole = b""
        for one in found:
            data = joined([one])
            for at in range(0, len(data), size):
                whole += record(HANDSHAKE, data[at : at + size])
        return whole

    return flight(change)


def recut(size):
    """The whole flight in records of `size` bytes, wherever messages begin."""

    def change(found):
        data = joined(found)
        return b"".join(record(HANDSHAKE, data[at : at + size]) for at in range(0, len(data), size))

    return flight(change)


def one_record_each(found):
    return b"".join(record(HANDSHAKE, joined([message])) for message in found)


def flipped(kind, offset, mask=0x01):
    """One byte changed in the body of the message `kind`; counts from its end if `offset` is negative."""

    def change(found):
        changed = []
        for number, body in found:
            if number == kind:
                body = bytearray(body)
                body[min(offset, len(body) - 1)] ^= mask  # ECDSA signatures differ in length
            changed.append((number, bytes(body)))
        return one_record_each(changed)

    return flight(change)


def replaced(kind, body):
    """The message `kind` with another body; left out where `body` is None."""

    def change(found):
        changed = [(number, body if number == kind else old) for number, old in found]
        return one_record_each([message for message in changed if message[1] is not None])

    return flight(change)


class Servers:
    """Starts servers in one folder and ends them. python() keeps one per chain for the whole session."""

    def __init__(self, folder):
        self.folder = folder
        self._kept = {}
        self._running = []

    def python(self, chain):
        """A PythonServer that echoes, shared: its port."""
        key = tuple(member.der for member in chain)
        if key not in self._kept:
            self._kept[key] = PythonServer(self.folder, chain)
        return self._kept[key].port

    def start(self, kind, *args, **options):
        """A peer of this class, for one test; servers get the folder first."""
        own = (self.folder,) if kind in (PythonServer, OpensslServer, GnutlsServer) else ()
        started = kind(*own, *args, **options)
        self._running.append(started)
        return started

    def stop(self):
        while self._running:
            self._running.pop().stop()

    def close(self):
        self.stop()
        for server in self._kept.values():
            server.stop()
