"""The code of docs/streams.md, as it stands there."""

import re
import smtplib
import ssl
import time

import pytest

from plugins.interpreters import ROOT
from plugins.mail import MailServer
from plugins.peers import free_port

PAGE = (ROOT / "docs" / "streams.md").read_text()
CLIENT, SERVER, PAIR = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture
def folder(tmp_path, pki):
    (tmp_path / "device.crt").write_bytes(b"".join(member.pem for member in pki.ec))
    (tmp_path / "device.key").write_bytes(pki.ec[0].private())
    (tmp_path / "ca.pem").write_bytes(pki.root.pem)
    return tmp_path


def inside(folder, code):
    return f"import os\nos.chdir({str(folder)!r})\n{code}"


def test_client(target, build, pki, servers):
    server = servers.start(MailServer, servers.folder, pki.ec)
    code = CLIENT.replace('"mail.example.com", 587', f'"localhost", {server.port}')
    code = code.replace('wrap(s, "mail.example.com")', 'wrap(s, "localhost", {"trust": TRUST})')
    assert "example.com" not in code
    code = code.replace("# Again", "print(s.authorized)\n# Again")
    done = target.run(code, build=build, params={"TRUST": pki.root.der})
    assert done.stdout == "True\n" and done.stderr == "", done


def test_server(target, build, pki, folder):
    port = free_port()
    process = target.start(inside(folder, SERVER.replace("2525", str(port))), build=build)
    context = ssl.create_default_context(cadata=pki.root.pem.decode())
    for _ in range(50):
        try:
            client = smtplib.SMTP("localhost", port, timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    client.starttls(context=context)
    client.ehlo()
    assert client.sock.version() == "TLSv1.2" and not client.has_extn("starttls")
    client.quit()
    done = process.wait(10)
    assert done.returncode == 0 and done.stderr == "", done


def test_pair(target, build, folder):
    done = target.run(inside(folder, PAIR), build=build)
    assert re.fullmatch(r"b'hello' True \('TLS-[\w-]+', 'TLSv1.2'\)\n", done.stdout), done


def test_limit_is_that_of_the_code():
    source = (ROOT / "lib" / "securesocket" / "securesocket" / "pair.py").read_text()
    assert re.search(r"^MAX_BUFFERED = const\((\d+)\)", source, re.M)[1] in PAGE


REST = """
from securesocket import SecurePair, ServerContext

server = SecurePair(ServerContext(identity=IDENTITY), server_side=True)
client = SecurePair({"trust": TRUST}, server_hostname="localhost")

def carry(one, other):
    data = one.encrypted.read()
    while data:
        data = data[other.encrypted.write(data) or 0 :]

while not client.authorized or not server.cleartext.cipher():
    client.cleartext.read(1)
    server.cleartext.read(1)
    carry(client, server)
    carry(server, client)
data = b"".join(b"%05d" % number for number in range(8000))
sent = 0
while True:
    # So that it is the second record of a window for which there is no room.
    count = client.cleartext.write(data[sent : sent + 4600])
    if not count:
        break
    sent += count
got = b""
for _ in range(40):
    count = client.cleartext.write(data[sent : sent + (4600 if RULE == "other" else 4600 - sent % 4600)])
    sent += count or 0
    carry(client, server)
    got += server.cleartext.read(100000) or b""
print(got == data[: len(got)] and sent == len(data))
"""


@pytest.mark.parametrize("rule", ["same", "other"])
def test_rest_of_the_same_bytes(target, build, pki, rule):
    """The limit, from both sides: going on with another window loses what lies between."""
    identity = ([member.der for member in pki.ec], pki.ec[0].private(encoding="der"))
    params = {"IDENTITY": identity, "TRUST": pki.root.der, "RULE": rule}
    done = target.run(REST, build=build, params=params, heapsize="4M")
    assert done.stdout == f"{rule == 'same'}\n", done


CRASH = """
import io, select, socket

class NoDescriptor(io.IOBase):
    def ioctl(self, request, arg):
        return 0 if request == 3 else -22

poller = select.poll()
poller.register(NoDescriptor(), 1)
kept = []
for _ in range(40):
    kept.append((socket.socket(), bytearray(64)))
    poller.register(kept[-1][0], 1)
    poller.poll(0)
print("as it should be")
"""


def test_poll_of_the_unix_port_crashes(target, build):
    """The limit. Where it passes one day, securesocket.aio needs no way around it."""
    done = target.run(CRASH, build=build)
    assert done.returncode == -11 and done.stdout == "", done
