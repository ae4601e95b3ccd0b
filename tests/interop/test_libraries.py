"""Other people's clients through our context: umqtt, urequests, microdot, unchanged as they are published.

Their published versions are of the time before ssl contexts: they call `ussl.wrap_socket`, a module that
MicroPython has no more. What stands in for it here is one SecureContext's wrap_socket; where a
library takes a context itself (microdot), it gets the context.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

from common import cache_dir
from plugins.clients import identity
from plugins.peers import PAGE, OpensslServer, Proxy, PythonServer, page
from plugins.pki import DAY, NOW

BUILDS = ("stock", "stock32")
# The downloads are made once: one worker.
pytestmark = pytest.mark.xdist_group("interop")

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
PINNED = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]


def fetch(requirement, folder):
    """Unpacks a pinned package into `folder`; the reason why not, or None.

    pip checks the hash when it has downloaded; it then wants to build the package, which these old ones
    cannot. --no-clean leaves what it has unpacked, checked, in its temporary folder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "requirement.txt").write_text(requirement + "\n")
        (place / "tmp").mkdir()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-clean", "--no-build-isolation",
                   "--disable-pip-version-check", "--require-hashes", "-r", place / "requirement.txt", "-d", place / "out"]  # fmt: skip
        env = dict(os.environ, TMPDIR=str(place / "tmp"))
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return "pip did not answer"
        if "DO NOT MATCH THE HASHES" in done.stdout + done.stderr:
            return "its hash is another one"
        for archive in (place / "out").glob("*") if (place / "out").is_dir() else ():
            unpack = zipfile.ZipFile if archive.suffix == ".whl" else tarfile.open
            with unpack(archive) as opened:
                opened.extractall(place / "unpacked")
        found = [*(place / "unpacked").glob("*"), *(place / "tmp").glob("pip-download-*/*/*")]
        sources = [one for one in found if one.is_dir() and list(one.glob("*.py")) and one.name != "tests"]
        sources += [two for one in found if one.is_dir() for two in one.glob("*") if list(two.glob("*.py"))]
        for source in sources:
            if not re.search(r"egg-info|dist-info|tests", source.name):
                shutil.copytree(
                    source, folder / source.name, dirs_exist_ok=True, ignore_dangling_symlinks=True
                )
        return None if sources else (done.stderr.strip().splitlines() or ["nothing was downloaded"])[-1]


@pytest.fixture(scope="session")
def libraries():
    """The folder with the libraries, and {package: why it is missing}."""
    stamp = hashlib.sha256("\n".join(PINNED).encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    folder = cache_dir() / "interop" / stamp
    missing = {}
    if not (folder / "complete").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for requirement in PINNED:
            reason = fetch(requirement, folder)
            if reason:
                missing[requirement.split("==")[0]] = reason
        if not missing:
            (folder / "complete").touch()
    return folder, missing


@pytest.fixture
def library(libraries):
    def find(package):
        folder, missing = libraries
        if package in missing:
            pytest.skip(f"{package} cannot be fetched: {missing[package]}")
        return folder

    return find


SHIM = """
sys.path.append(FOLDER)

class ussl:
    @staticmethod
    def wrap_socket(sock, **options):
        return SecureContext(**SECURE).wrap_socket(sock, **options)

sys.modules["ussl"] = ussl
for name in ("socket", "select", "struct", "time", "json", "errno", "random", "binascii", "os", "io"):
    sys.modules["u" + name] = __import__(name)

def outcome(function):
    gc.collect()
    files = open_files()
    try:
        return function()
    except OSError as error:
        return describe(error)
"""

MQTT = """
import MODULE as umqtt

def connect():
    client = umqtt.MQTTClient(b"test", "127.0.0.1", PORT, keepalive=30, ssl=True, ssl_params={"server_hostname": HOST_NAME})
    told = client.connect()
    client.publish(b"topic", b"hello")
    client.disconnect()
    return ["connected", told]

tell(outcome(connect))
"""

REQUESTS = """
import urequests
import socket

def get():
    response = urequests.get("https://localhost:%d/" % PORT)
    return [response.status_code, response.text]

if HOST_NAME != "localhost":
    SECURE["server_name"] = HOST_NAME
tell(outcome(get))
"""


def broker(stream):
    """A broker of as much MQTT 3.1.1 as a client needs to publish at QoS 0."""
    first = stream.recv(1024)
    assert first[0] == 0x10
    stream.sendall(b"\x20\x02\x00\x00")
    while data := stream.recv(1024):
        if data.endswith(b"\xe0\x00"):
            return


# what goes wrong: chain, host name, clock, class of the error
DEMO = (
    ("verified", lambda p: p.ec, "localhost", None, None),
    ("unknown issuer", lambda p: p.foreign, "localhost", None, "UnknownIssuer"),
    ("expired", lambda p: p.chain(not_after=NOW - DAY), "localhost", None, "Expired"),
    ("wrong host", lambda p: p.ec, "wrong.test", None, "HostnameMismatch"),
    ("clock in 2000", lambda p: p.ec, "localhost", 2000, "ClockNotSet"),
)
CLIENTS = (
    ("micropython-umqtt.simple", MQTT.replace("MODULE", "umqtt.simple"), broker, ["connected", 0]),
    ("micropython-umqtt.robust", MQTT.replace("MODULE", "umqtt.robust"), broker, ["connected", 0]),
    ("micropython-umqtt.simple2", MQTT.replace("MODULE", "umqtt.simple2"), broker, ["connected", False]),
    ("micropython-urequests", REQUESTS, page, [200, PAGE.partition(b"\r\n\r\n")[2].decode()]),
)


@pytest.mark.parametrize(("what", "chain", "host", "year", "error"), DEMO, ids=[row[0] for row in DEMO])
@pytest.mark.parametrize(("package", "lines", "handler", "good"), CLIENTS, ids=[row[0] for row in CLIENTS])
def test_client_through_our_context(
    drive, build, pki, servers, clock, library, package, lines, handler, good, what, chain, host, year, error
):
    folder = library(package)
    if year and build == "stock32":
        pytest.skip("libfaketime is installed for 64-bit programs only")
    server = servers.start(PythonServer, chain(pki), handler)
    proxy = servers.start(Proxy, server.port)
    params = {"PORT": proxy.port, "FOLDER": str(folder), "SECURE": {"trust": pki.root.der}, "HOST_NAME": host}
    env = clock(NOW.replace(year=year)) if year else None
    told = drive(SHIM + lines, build=build, params=params, env=env, timeout_s=30)
    if error is None:
        assert told == good
        # The client has ended; the server may still be reading.
        until = time.monotonic() + 10
        while not re.search(b"hello|GET / HTTP/1.0", b"".join(server.received.values())):
            assert time.monotonic() < until, server.received
            time.sleep(0.02)
    else:
        assert isinstance(told, dict) and told["class"] == error, told
        assert told["remedy"]
        assert not server.received, "bytes of the application were sent"


def test_requests_read_a_page_of_openssl(drive, build, pki, servers, library):
    server = servers.start(OpensslServer, pki.rsa)
    params = {"PORT": server.port, "FOLDER": str(library("micropython-urequests")), "HOST_NAME": "localhost"}
    params["SECURE"] = {"trust": pki.rsa_root.der}
    status, text = drive(SHIM + REQUESTS, build=build, params=params)
    assert status == 200 and "Ciphers supported in s_server binary" in text


MICRODOT = """
from microdot import Microdot
from securesocket import ServerContext

app = Microdot()

@app.route("/")
async def index(request):
    return "hello"

async def main():
    context = ServerContext(identity=IDENTITY) if IDENTITY else SecureContext(trust=SECURE["trust"])
    server = asyncio.create_task(app.start_server("127.0.0.1", PORT, ssl=context))
    await asyncio.sleep_ms(100)
    ours = {"ssl": SecureContext(trust=SECURE["trust"]), "server_hostname": "localhost"} if IDENTITY else {}
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, **ours)
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    try:
        await writer.drain()
        data = await asyncio.wait_for_ms(reader.read(-1), 5000)
    except OSError:
        data = b""
    tell(data.decode())
    server.cancel()

asyncio.run(main())
"""


def microdot(target, build, pki, library, identity):
    from plugins.peers import free_port

    params = {"PORT": free_port(), "FOLDER": str(library("microdot")), "SECURE": {"trust": pki.root.der},
              "IDENTITY": identity}  # fmt: skip
    script = f"{target.driver}\n{SHIM}\n{MICRODOT}"
    return target.run(script, build=build, params=params, heapsize="4M", timeout_s=20)


def test_microdot_serves_with_a_context_of_ours(target, build, pki, servers, library):
    run = microdot(target, build, pki, library, identity(pki.ec))
    assert run.result.startswith("HTTP/1.0 200 OK") and run.result.endswith("hello"), run


def test_microdot_with_a_client_s_context_is_refused_not_served_in_the_clear(
    target, build, pki, servers, library
):
    """asyncio prints why, and closes the connection."""
    run = microdot(target, build, pki, library, None)
    assert run.result == "", run
    assert "expected a ServerContext" in run.stdout + run.stderr


def test_debian_s_source_has_no_libraries_of_micropython():
    """What the README of it says; if that changes, its umqtt and requests belong into CLIENTS."""
    sources = [one for one in (cache_dir() / "source").glob("micropython-*") if one.is_dir()]
    if not sources:
        pytest.skip("built from a checkout: no source of Debian's here")
    for source in sources:
        assert not list(source.glob("lib/micropython-lib/**/umqtt*"))
