"""What DTLS is tested against, on loopback: a proxy that drops, doubles, reorders, delays and changes
datagrams, and the servers and clients of OpenSSL and GnuTLS."""

import socket
import threading
import time
from pathlib import Path

from plugins.peers import HOST, Program, write

TO_SERVER, TO_CLIENT = 0, 1


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def identity(chain):
    """identity= of a chain of Members."""
    return ([member.der for member in chain], chain[0].private("traditional", "der"))


class UdpProxy:
    """Passes datagrams between clients and one server. shape(direction, number, data) -> what becomes of a
    datagram, the number-th of its direction: a list of bytes, or of (seconds, bytes) for later.

    passed[direction]: everything that came, as bytes; `sent` are those that left.
    """

    def __init__(self, upstream, shape=None):
        self.upstream = upstream
        self.shape = shape or (lambda direction, number, data: [data])
        self.passed = ([], [])
        self.sent = ([], [])
        self.lock = threading.Lock()
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind((HOST, 0))
        self.port = self.front.getsockname()[1]
        self.backs = {}
        threading.Thread(target=self._forward, daemon=True).start()

    def _forward(self):
        while True:
            try:
                data, address = self.front.recvfrom(65536)
            except OSError:
                return
            back = self.backs.get(address)
            if back is None:
                back = self.backs[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                back.connect((HOST, self.upstream))
                threading.Thread(target=self._backward, args=(back, address), daemon=True).start()
            self._pass(TO_SERVER, data, back.send)

    def _backward(self, back, address):
        while True:
            try:
                data = back.recv(65536)
            except ConnectionRefusedError:
                continue
            except OSError:
                return
            self._pass(TO_CLIENT, data, lambda piece: self.front.sendto(piece, address))

    def _pass(self, direction, data, send):
        if not data:
            return  # what a socket gives that has been shut down
        with self.lock:
            number = len(self.passed[direction])
            self.passed[direction].append(data)
            pieces = self.shape(direction, number, data)
        for piece in pieces:
            if isinstance(piece, tuple):
                threading.Timer(piece[0], self._send, (direction, piece[1], send)).start()
            else:
                self._send(direction, piece, send)

    def _send(self, direction, data, send):
        self.sent[direction].append(data)
        try:
            send(data)
        except OSError:
            pass  # that end is gone

    def stop(self):
        for sock in (self.front, *self.backs.values()):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


def dropping(direction, number):
    """Drops the number-th datagram of this direction."""
    return lambda where, which, data: [] if (where, which) == (direction, number) else [data]


def doubling(where, which, data):
    return [data, data]


def swapping(seconds=0.05):
    """Every second datagram comes after the one behind it."""
    return lambda where, which, data: [(seconds, data)] if which % 2 == 0 else [data]


def slow(seconds):
    return lambda where, which, data: [(seconds, data)]


def flipping(where, which, data):
    """Each datagram comes once with a bit changed in its last byte, then as it was."""
    return [data[:-1] + bytes((data[-1] ^ 1,)), data]


def cutting(where, which, data):
    """Each datagram comes cut first, a little shorter each time, then whole."""
    return [data[: len(data) * (which % 7 + 1) // 9], data]


def with_noise(*noise):
    """Before each datagram come these."""
    return lambda where, which, data: [*noise, data]


class SilentPeer:
    """A UDP socket that takes everything, and answers with `answers` in turn."""

    def __init__(self, *answers):
        self.received = []
        self.answers = list(answers)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((HOST, 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                data, address = self.sock.recvfrom(65536)
            except OSError:
                return
            self.received.append(data)
            if self.answers:
                self.sock.sendto(self.answers.pop(0), address)

    def stop(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


# ---- servers


class OpensslDtls(Program):
    """`openssl s_server -dtls1_2`: prints what it gets, sends what say() gives it."""

    def __init__(self, folder, chain, *words, mtu=1400):
        crt, key = write(folder, chain)
        port = free_udp_port()
        super().__init__(
            ["openssl", "s_server", "-dtls1_2", "-listen", "-accept", f"{HOST}:{port}", "-cert", crt,
             "-key", key, "-cert_chain", crt, "-mtu", str(mtu), *words], port
        )  # fmt: skip
        self.wait_for(rb"ACCEPT")

    def say(self, line):
        self.popen.stdin.write(line)
        self.popen.stdin.flush()


class GnutlsDtls(Program):
    """`gnutls-serv --udp` that echoes."""

    def __init__(self, folder, chain, *words, mtu=1400):
        crt, key = write(folder, chain)
        port = free_udp_port()
        super().__init__(
            ["gnutls-serv", "--udp", "--echo", "--disable-client-cert", "--port", str(port),
             "--mtu", str(mtu), "--x509certfile", crt, "--x509keyfile", key, *words], port
        )  # fmt: skip
        self.wait_for(rb"listening on IPv4[^\n]*done")


# ---- clients


class Client(Program):
    """A client that is a program: say() sends a datagram, `output` is what it prints."""

    def say(self, line):
        self.popen.stdin.write(line)
        self.popen.stdin.flush()


def openssl_client(port, ca, *words):
    return Client(
        ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{port}", "-CAfile", ca,
         "-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost", "-quiet",
         "-mtu", "1400", *words]
    )  # fmt: skip


def gnutls_client(port, ca, *words):
    return Client(
        ["gnutls-cli", "--udp", "--mtu", "1400", f"--x509cafile={ca}", "--verify-hostname=localhost",
         "--sni-hostname=localhost", "--no-ocsp", "-p", str(port), *words, HOST]
    )  # fmt: skip


def first_flight():
    """A real ClientHello, as `openssl s_client` sends it first."""
    peer = SilentPeer()
    client = Client(
        ["openssl", "s_client", "-dtls1_2", "-connect", f"{HOST}:{peer.port}", "-servername", "localhost"]
    )
    try:
        deadline = time.monotonic() + 10
        while not peer.received and time.monotonic() < deadline:
            time.sleep(0.01)
        return peer.received[0]
    finally:
        client.stop()
        peer.stop()


def with_cookie(hello, cookie):
    """The ClientHello (a datagram) with this cookie, as the second one of a handshake."""
    body = hello[25:]
    at = 35 + body[34]
    body = body[:at] + bytes((len(cookie),)) + cookie + body[at + 1 + body[at] :]
    size = len(body).to_bytes(3)
    message = b"\1" + size + b"\0\1" + b"\0\0\0" + size + body
    return hello[:10] + b"\1" + len(message).to_bytes(2) + message


def cookie_of(verify_request):
    """The cookie of a HelloVerifyRequest (a datagram)."""
    assert verify_request[13] == 3
    return verify_request[28 : 28 + verify_request[27]]


# ---- our own server

DEVICE = (Path(__file__).parent.parent / "target" / "datagrams.py").read_text()


class DtlsServed:
    """A DtlsServer on a MicroPython build, which echoes; result() is what it tells after "stop"."""

    def __init__(
        self, target, chain, front="blocking", build="stock", lines="run(FRONT, **OPTIONS)", **options
    ):
        self.port = free_udp_port()
        params = {"PORT": self.port, "IDENTITY": identity(chain), "FRONT": front, "OPTIONS": options}
        self.process = target.start(f"{DEVICE}\n{lines}", build=build, params=params, heapsize="8M")
        line = self.process.line()
        if not line.startswith("READY"):
            raise AssertionError(f"{line!r} {self.process.wait(5)}")
        self.alloc = int(line.split()[1])

    def result(self):
        done = self.process.wait(20)
        assert done.returncode == 0 and done.stderr == "", done
        return done.result
