"""A mail server that knows STARTTLS (aiosmtpd), and what carries its bytes where there is no socket."""

import asyncio
import os
import socket
import ssl
import threading
import tty
from pathlib import Path

from aiosmtpd.smtp import SMTP

from plugins.peers import HOST, write


class MailServer:
    """aiosmtpd in a thread; takes mail only after STARTTLS. `mails`: (from, to, whether secured, content)."""

    def __init__(self, folder, chain):
        crt, key = write(folder, chain)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(crt, key)
        self.mails = []
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(self._session, HOST, 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def _session(self):
        return SMTP(
            self, tls_context=self.context, require_starttls=True, hostname="localhost", loop=self.loop
        )

    async def handle_DATA(self, server, session, envelope):  # the name is aiosmtpd's
        secured = session.ssl is not None
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, secured, envelope.content))
        return "250 taken"

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


class Bridge:
    """Carries bytes between two descriptors and a port of loopback, until either ends."""

    def __init__(self, read_fd, write_fd, port):
        self.read_fd, self.write_fd = read_fd, write_fd
        self.connection = socket.create_connection((HOST, port))
        for carry in (self._up, self._down):
            threading.Thread(target=carry, daemon=True).start()

    def _up(self):
        try:
            while data := os.read(self.read_fd, 4096):
                self.connection.sendall(data)
        except OSError:
            pass  # the other end of a terminal has gone
        self._shut()

    def _down(self):
        try:
            while data := self.connection.recv(4096):
                while data:
                    data = data[os.write(self.write_fd, data) :]
        except OSError:
            pass

    def _shut(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def stop(self):
        self._shut()
        self.connection.close()
        for fd in {self.read_fd, self.write_fd}:
            os.close(fd)


class Terminal(Bridge):
    """A pseudo-terminal in raw mode, which stands for a UART; `path` is what the device opens."""

    def __init__(self, port):
        ours, self.theirs = os.openpty()
        tty.setraw(self.theirs)
        self.path = os.ttyname(self.theirs)
        super().__init__(ours, ours, port)

    def stop(self):
        super().stop()
        os.close(self.theirs)


class Pipes(Bridge):
    """Two FIFOs, one for each direction: `paths` are what the device reads, and what it writes."""

    def __init__(self, folder, port):
        folder = Path(folder)
        self.paths = []
        for name in ("down", "up"):
            path = folder / f"{name}-{port}-{os.urandom(4).hex()}"
            os.mkfifo(path)
            self.paths.append(str(path))
        # Open for both, so that opening waits for nobody.
        down, up = (os.open(path, os.O_RDWR) for path in self.paths)
        super().__init__(up, down, port)
