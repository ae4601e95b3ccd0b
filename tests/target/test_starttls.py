"""STARTTLS: a conversation that begins in the clear and goes on secured, over every kind of stream; and what is
sent ahead of the handshake, to be taken for a part of it."""

import imaplib
import smtplib
import socket
import ssl
import subprocess

import pytest

from plugins.mail import MailServer, Pipes, Terminal
from plugins.peers import HOST, Proxy, RawServer, free_port, segments, silent

LINE = b"x" * 98 + b"\r\n"

# What a client does over any stream that reads and writes.
SMTP_CLIENT = """
def byte_line(stream):
    # readline for a stream that has readinto alone.
    line = b""
    one = bytearray(1)
    while not line.endswith(b"\\n"):
        if not stream.readinto(one):
            break
        line += one
    return line

def ask(stream, command, code):
    # One command, and the last line of its answer.
    if command:
        stream.write(command + b"\\r\\n")
    lines = []
    while True:
        line = byte_line(stream)
        lines.append(line.decode().strip())
        if line[3:4] != b"-":
            break
    assert line[:3] == code, line
    return lines

def upgrade(plain):
    ask(plain, None, b"220")
    offered = ask(plain, b"EHLO device", b"250")
    assert "250-STARTTLS" in offered or "250 STARTTLS" in offered, offered
    ask(plain, b"STARTTLS", b"220")
    return SecureSocket.wrap(plain, "localhost", {"trust": TRUST}, 5000)

def mail(stream):
    offered = ask(stream, b"EHLO device", b"250")
    ask(stream, b"MAIL FROM:<device@a.example>", b"250")
    ask(stream, b"RCPT TO:<you@b.example>", b"250")
    ask(stream, b"DATA", b"354")
    stream.write(b"Subject: 17\\r\\n\\r\\n" + LINE * 60 + b".\\r\\n")
    ask(stream, None, b"250")
    ask(stream, b"QUIT", b"221")
    return any("STARTTLS" in line for line in offered)

class Duplex(io.IOBase):
    # A stream of two files: one to read from, one to write to.

    def __init__(self, down, up):
        self.down, self.up = down, up
        self.poller = select.poll()
        self.poller.register(down, 1)
        self.poller.register(up, 4)

    def readinto(self, buf):
        return self.down.readinto(buf)

    def write(self, buf):
        return self.up.write(buf)

    def ioctl(self, request, arg):
        if request == 3:
            found = 0
            for entry in self.poller.ipoll(0):
                found |= entry[1] & arg
            return found
        if request == 4:
            self.close()
            return 0
        return -22

    def close(self):
        self.down.close()
        self.up.close()

def plain_stream():
    if HOW == "socket":
        return tcp(PLACE)
    if HOW == "user":
        return UserStream(tcp(PLACE))
    if HOW == "terminal":
        return open(PLACE, "r+b")
    return Duplex(open(PLACE[0], "rb"), open(PLACE[1], "wb"))

plain = plain_stream()
secured = upgrade(plain)
told = [mail(secured), secured.authorized, secured.report.chain[0], secured.version()]
secured.close()
tell(told)
"""
MAIL = ("device@a.example", ["you@b.example"], True, b"Subject: 17\r\n\r\n" + LINE * 60)


def place(servers, how, port):
    """Where the device finds the server."""
    if how == "terminal":
        return servers.start(Terminal, port).path
    if how == "pipes":
        return servers.start(Pipes, servers.folder, port).paths
    return port


@pytest.mark.parametrize("how", ["socket", "user", "terminal", "pipes"])
@pytest.mark.parametrize("chain", ["ec", "rsa"])
def test_mail_to_aiosmtpd(drive, build, pki, servers, how, chain):
    server = servers.start(MailServer, servers.folder, getattr(pki, chain))
    params = {
        "LINE": LINE,
        "HOW": how,
        "PLACE": place(servers, how, server.port),
        "TRUST": [pki.root.der, pki.rsa_root.der],
    }
    offered_again, authorized, subject, version = drive(SMTP_CLIENT, build=build, params=params)
    assert authorized is True and subject == "CN=localhost" and version == "TLSv1.2"
    assert offered_again is False
    assert server.mails == [MAIL]


ASYNC_CLIENT = """
async def ask(stream, command, code):
    if command:
        stream.write(command + b"\\r\\n")
        await stream.drain()
    while True:
        line = await stream.readline()
        if line[3:4] != b"-":
            break
    assert line[:3] == code, line

async def main():
    stream, _ = await asyncio.open_connection("127.0.0.1", PORT)
    for command, code in ((None, b"220"), (b"EHLO device", b"250"), (b"STARTTLS", b"220")):
        await ask(stream, command, code)
    context = SecureContext(trust=TRUST)
    secured = context.wrap_socket(stream.s, server_hostname="localhost", do_handshake_on_connect=False)
    stream = asyncio.StreamReader(secured)
    try:
        for command, code in ((b"EHLO device", b"250"), (b"MAIL FROM:<device@a.example>", b"250"),
                (b"RCPT TO:<you@b.example>", b"250"), (b"DATA", b"354"),
                (b"Subject: 17\\r\\n\\r\\n" + LINE * 60 + b".", b"250"), (b"QUIT", b"221")):
            await ask(stream, command, code)
        stream.close()
        await stream.wait_closed()
        return [secured.authorized, None]
    except OSError as error:
        return [secured.authorized, error.code]

tell(asyncio.run(main()))
"""


def test_mail_over_asyncio_streams(drive, build, pki, servers):
    server = servers.start(MailServer, servers.folder, pki.ec)
    params = {"LINE": LINE, "PORT": server.port, "TRUST": pki.root.der}
    assert drive(ASYNC_CLIENT, build=build, params=params) == [True, None]
    assert server.mails == [MAIL]


# ---- what is sent ahead


def answers(*pairs):
    """A server without TLS: says the first text, and for each line it gets the next one."""

    def answer(connection):
        connection.sendall(pairs[0])
        for text in pairs[1:]:
            line = b""
            while not line.endswith(b"\n"):
                piece = connection.recv(1)
                if not piece:
                    return
                line += piece
            connection.sendall(text)
        silent(connection)

    return answer


HELLO = (b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n")
# As a server that is in the middle would add it, to have it read as if it came secured.
INJECTED = b"250 taken\r\n"

INJECTED_CLIENT = (
    SMTP_CLIENT.partition("plain = plain_stream()")[0]
    + """
plain = plain_stream()
try:
    upgrade(plain)
    told = None
except OSError as error:
    told = describe(error)
usable = None
if HOW == "socket":
    try:
        usable = plain.write(b"x")
    except OSError as error:
        usable = repr(error)
tell([told, usable])
"""
)


@pytest.mark.parametrize("how", ["socket", "user", "terminal", "pipes"])
@pytest.mark.parametrize(
    "tail", [INJECTED, b"\x16", b"\x15\x03\x03\x00\x02\x01\x00"], ids=["text", "byte", "alert"]
)
def test_server_that_speaks_before_the_handshake_is_refused(drive, build, servers, pki, how, tail):
    server = servers.start(RawServer, answers(*HELLO, b"220 go\r\n" + tail))
    params = {"LINE": LINE, "HOW": how, "PLACE": place(servers, how, server.port), "TRUST": pki.root.der}
    told, usable = drive(INJECTED_CLIENT, build=build, params=params)
    assert (told["class"], told["code"]) == ("HandshakeError", "early-bytes")
    assert told["remedy"]
    if how == "socket":
        assert usable == 1  # the stream is left as it was, to be closed by its owner


def test_asyncio_client_takes_no_injected_answer(drive, build, servers, pki):
    """Nothing reads ahead on the device: what was injected is where the ServerHello should be."""
    server = servers.start(RawServer, answers(*HELLO, b"220 go\r\n" + INJECTED))
    params = {"LINE": LINE, "PORT": server.port, "TRUST": pki.root.der}
    assert drive(ASYNC_CLIENT, build=build, params=params) == [False, "not-tls"]


@pytest.mark.parametrize("how", ["socket", "terminal"])
def test_answer_that_comes_byte_by_byte_is_no_early_one(drive, build, servers, pki, how):
    server = servers.start(MailServer, servers.folder, pki.ec)
    proxy = servers.start(Proxy, (server.port, segments(1)))
    params = {"LINE": LINE, "HOW": how, "PLACE": place(servers, how, proxy.port), "TRUST": pki.root.der}
    assert drive(SMTP_CLIENT, build=build, params=params)[1] is True
    assert server.mails == [MAIL]


# ---- our server

SERVER = """
from securesocket import ServerContext

CONTEXT = ServerContext(identity=IDENTITY)
TAKEN = []

def smtp(plain):
    stream, secured = plain, False
    stream.write(b"220 device ESMTP\\r\\n")
    content = None
    while True:
        line = stream.readline()
        if not line:
            return
        word = line.split()[0].upper() if line.split() else b""
        if content is not None:
            if line == b".\\r\\n":
                TAKEN.append([secured, content.decode()])
                content = None
                stream.write(b"250 taken\\r\\n")
            else:
                content += line
        elif word == b"EHLO":
            stream.write(b"250 device\\r\\n" if secured else b"250-device\\r\\n250 STARTTLS\\r\\n")
        elif word == b"STARTTLS" and not secured:
            stream.write(b"220 go\\r\\n")
            stream, secured = SecureSocket.wrap(plain, secure=CONTEXT, timeout_ms=5000, server_side=True), True
        elif word == b"DATA":
            content = b""
            stream.write(b"354 go on\\r\\n")
        elif word == b"QUIT":
            stream.write(b"221 bye\\r\\n")
            stream.close()
            return
        else:
            stream.write(b"250 ok\\r\\n")

def imap(plain):
    stream, secured = plain, False
    stream.write(b"* OK device\\r\\n")
    while True:
        line = stream.readline()
        if not line:
            return
        tag, word = line.split()[:2]
        word = word.upper()
        if word == b"CAPABILITY":
            stream.write(b"* CAPABILITY IMAP4rev1 %s\\r\\n" % (b"AUTH=PLAIN" if secured else b"STARTTLS LOGINDISABLED"))
        elif word == b"LOGOUT":
            stream.write(b"* BYE device\\r\\n")
        elif word == b"LOGIN":
            TAKEN.append([secured, line.decode()])
        stream.write(tag + b" OK done\\r\\n")
        if word == b"STARTTLS":
            stream, secured = SecureSocket.wrap(plain, secure=CONTEXT, timeout_ms=5000, server_side=True), True
        elif word == b"LOGOUT":
            stream.close()
            return

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
listener.listen(5)
print("listening")
codes = []
for _ in range(COUNT):
    connection, _ = listener.accept()
    try:
        (smtp if PROTOCOL == "smtp" else imap)(connection)
        codes.append(None)
    except OSError as error:
        codes.append(getattr(error, "code", repr(error)))
    connection.close()
tell([codes, TAKEN])
"""


def identity(chain):
    return [member.der for member in chain], chain[0].private(encoding="der")


@pytest.fixture
def mail_server(target, build, pki):
    """mail_server(protocol, count): (port, result): our server, which serves so many clients and then tells."""

    def start(protocol, count=1):
        port = free_port()
        params = {"PROTOCOL": protocol, "PORT": port, "COUNT": count, "IDENTITY": identity(pki.ec)}
        process = target.start(f"{target.driver}\n{SERVER}", build=build, heapsize="2M", params=params)
        assert process.line() == "listening"

        def result():
            done = process.wait(20)
            assert done.returncode == 0, done
            return done.result

        return port, result

    return start


def context_for(pki):
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=pki.root.pem.decode())
    return context


def test_smtplib_upgrades_with_our_server(mail_server, pki):
    port, result = mail_server("smtp")
    with smtplib.SMTP("localhost", port, timeout=10) as client:
        client.starttls(context=context_for(pki))
        client.sendmail("a@a.example", ["b@b.example"], b"Subject: 17\r\n\r\nhello\r\n")
        assert client.sock.version() == "TLSv1.2"
    codes, taken = result()
    assert codes == [None] and taken == [[True, "Subject: 17\r\n\r\nhello\r\n"]]


def test_imaplib_upgrades_with_our_server(mail_server, pki):
    port, result = mail_server("imap")
    client = imaplib.IMAP4("localhost", port, timeout=10)
    client.starttls(context_for(pki))
    assert client.login("device", "secret")[0] == "OK"
    client.logout()
    codes, taken = result()
    assert codes == [None] and taken[0][0] is True and "LOGIN" in taken[0][1]


@pytest.mark.parametrize("protocol", ["smtp", "imap"])
def test_openssl_upgrades_with_our_server(mail_server, pki, tmp_path, protocol):
    port, result = mail_server(protocol)
    roots = tmp_path / "root.pem"
    roots.write_bytes(pki.root.pem)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-starttls", protocol, "-CAfile", roots,
         "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-crlf"],
        input=b"QUIT\n" if protocol == "smtp" else b"a LOGOUT\n", capture_output=True, timeout=20,
    )  # fmt: skip
    assert (b"221 bye" if protocol == "smtp" else b"* BYE device") in done.stdout, done
    assert result()[0] == [None]


# A command behind STARTTLS in the same segment (CVE-2011-0411): it must not be answered as if it came secured.
@pytest.mark.parametrize(
    "tail", [b"RSET\r\nMAIL FROM:<evil@a.example>\r\n", b"\x00", b"\x17\x03\x03\x00\x01x"]
)
def test_client_that_speaks_before_the_handshake_is_refused(mail_server, pki, tail):
    port, result = mail_server("smtp", 2)
    with socket.create_connection((HOST, port), 10) as client:
        assert client.recv(100).startswith(b"220")
        client.sendall(b"STARTTLS\r\n" + tail)
        context = context_for(pki)
        answer = client.recv(100)
        assert answer.startswith(b"220 go")
        with pytest.raises(OSError):
            context.wrap_socket(client, server_hostname="localhost")
    # The next one is served.
    with smtplib.SMTP("localhost", port, timeout=10) as client:
        client.starttls(context=context_for(pki))
        client.sendmail("a@a.example", ["b@b.example"], b"honest\r\n")
    codes, taken = result()
    assert codes[0] in ("not-tls", "protocol") and codes[1] is None
    assert taken == [[True, "honest\r\n"]]
