"""Time servers on loopback: a real one, and one that answers what it is told to."""

import os
import pwd
import socket
import struct
import threading
import time
from pathlib import Path

from system import unpacked

from plugins.peers import HOST, Program, free_port

NTP_TO_1970 = 2208988800


class ChronyServer(Program):
    """chronyd, which serves this machine's clock and cannot set it."""

    def __init__(self, folder):
        port = free_port()
        stem = Path(folder) / f"chrony{port}"
        lines = (
            f"port {port}", f"bindaddress {HOST}", f"allow {HOST}", "local stratum 5", "cmdport 0",
            f"pidfile {stem}.pid",
        )  # fmt: skip
        stem.write_text("\n".join(lines) + "\n")
        super().__init__(
            [unpacked("chronyd"), "-U", "-x", "-d", "-u", pwd.getpwuid(os.getuid()).pw_name, "-f", str(stem)],
            port,
        )
        self.wait_for(rb"Disabled control of system clock")
        self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect((HOST, self.port))
            for _ in range(50):
                try:
                    client.send(b"\x23" + bytes(47))
                    client.recv(1024)
                    return
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.05)
        raise AssertionError(f"chronyd does not answer: {self.output!r}")


class UdpServer:
    """answer(request, number) gives the datagrams that go back to request number 0, 1, ...; a pair
    (datagram, socket) goes out through that socket. `requests` has all that came."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            request, client = self.socket.recvfrom(4096)
            if not request:
                return
            self.requests.append(request)
            for data in self.answer(request, len(self.requests) - 1):
                data, way = data if isinstance(data, tuple) else (data, self.socket)
                way.sendto(data, client)

    def stop(self):
        # An empty datagram ends the thread; closing would leave it waiting.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (HOST, self.port))


def answer(request, now=None, *, leap=0, version=4, mode=4, stratum=2, kiss=b"LOCL", nonce=None, fraction=0):
    """The 48 bytes that a server with this clock (seconds since 1970) sends."""
    seconds = int(time.time() if now is None else now) + NTP_TO_1970
    head = struct.pack(">BBbbII4s", leap << 6 | version << 3 | mode, stratum, 6, -20, 0, 0, kiss)
    stamp = struct.pack(">II", seconds & 0xFFFFFFFF, fraction)
    return head + stamp + (request[40:48] if nonce is None else nonce) + stamp + stamp
