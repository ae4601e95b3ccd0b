"""`make mip`: mpremote's own mip installs each package from the index onto the Unix port; what is installed
connects with nothing else there."""

import ast
import functools
import http.server
import json
import subprocess
import sys
import threading

import pytest

from certstore import anchors
from plugins.interpreters import ROOT
from plugins.peers import PythonServer
from plugins.pki import DAY, NOW, Pki, make
from plugins.unix_board import Board
from securesocket_cli import packages

# The core's limit: what fits beside an application on a stock board.
CORE_BYTES = 40 * 1024


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """(address of an index on loopback, its folder)"""
    folder = tmp_path_factory.mktemp("mip") / "index"
    subprocess.run([sys.executable, ROOT / "tools" / "build" / "mip.py", folder], check=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pki():
    return Pki()


@pytest.fixture(scope="module")
def boards(index, pki, tmp_path_factory):
    """boards(package, …): a Board with these packages, and a store with the test's root; each made once."""
    made = {}

    def board(*names):
        if names not in made:
            made[names] = board = Board(tmp_path_factory.mktemp("board") / "flash")
            for name in names:
                board.mpremote(["mip", "install", "--index", index[0], name])
            (board.folder / "roots.bin").write_bytes(anchors.build([pki.root.der], 0))
        return made[names]

    return board


@pytest.fixture
def server(tmp_path):
    """server(chain): the port of a TLS server."""
    started = []

    def start(chain):
        started.append(PythonServer(tmp_path, chain))
        return started[-1].port

    yield start
    for one in started:
        one.stop()


def installed(board):
    return sorted(
        path.relative_to(board.folder / "lib").as_posix() for path in board.folder.glob("lib/**/*.*")
    )


# What a connection comes to: verified, or an error's class, code, found, expected and text.
TRY = """
import securesocket
assert securesocket.__file__.endswith(".mpy"), securesocket.__file__
try:
    s = securesocket.SecureSocket("localhost", %d, %s)
    print(("verified", s.authorized))
    s.close()
except securesocket.SecureSocketError as error:
    print((type(error).__name__, error.code, error.found, error.expected, str(error)))
"""


def tried(board, port, options="{}"):
    return ast.literal_eval(board.run(TRY % (port, options)))


# ---- the index


def test_the_core_is_small(index):
    """[mip_core] of the benchmarks."""
    listing = json.loads((index[1] / "package" / "6" / "securesocket" / "latest.json").read_text())
    size = sum((index[1] / "file" / short[:2] / short).stat().st_size for _, short in listing["hashes"])
    assert size < CORE_BYTES, f"{size} bytes"


@pytest.mark.parametrize("name", packages.names())
def test_each_package_installs_all_its_files_and_every_module_loads(boards, name):
    board = boards(name)
    names = [to.removesuffix(".py") for to in packages.files([name])]
    assert installed(board) == sorted(f"{to}.mpy" for to in names)
    # asyncio is part of every port that has it.
    modules = [to.removesuffix("/__init__").replace("/", ".") for to in names if not to.endswith("/aio")]
    script = f"import sys\nfor name in {modules!r}:\n    __import__(name)\nprint('frozen' in str(sys.path))"
    assert board.run(script) == "False\n"


def test_sources_install_for_a_firmware_without_mpy(index, tmp_path):
    board = Board(tmp_path / "flash")
    board.mpremote(["mip", "install", "--index", index[0], "--no-mpy", "securesocket"])
    assert installed(board) == sorted(packages.files(["securesocket"]))


def test_a_version_installs_by_its_number(index, tmp_path):
    board = Board(tmp_path / "flash")
    version = packages.read("certstore").version
    board.mpremote(["mip", "install", "--index", index[0], f"certstore@{version}"])
    assert installed(board) == sorted(to.replace(".py", ".mpy") for to in packages.files(["certstore"]))


# ---- the core alone


def test_the_core_connects_and_verifies(boards, pki, server):
    assert tried(boards("securesocket"), server(pki.ec)) == ("verified", True)
    assert tried(boards("securesocket"), server(pki.ec), str({"pins": [pki.ec[0].pin]})) == ("verified", True)


def failures(pki):
    other = make("Other Root", ca=True)
    return (
        ("unknown issuer", [make("x", other)], {}, "UnknownIssuer", "unknown-issuer"),
        ("expired", pki.chain(not_after=NOW - DAY), {}, "Expired", "expired"),
        ("not yet valid", pki.chain(not_before=NOW + DAY), {}, "NotYetValid", "not-yet-valid"),
        ("another host", pki.chain(hosts=("other.test",)), {}, "HostnameMismatch", "hostname"),
        ("pin", pki.ec, {"pins": [bytes(32)]}, "PinMismatch", "pin"),
    )


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("package", ["securesocket", "securesocket-explain"])
def test_each_failure_is_refused_and_typed(boards, pki, server, package, row):
    why, chain, options, kind, code = failures(pki)[row]
    told = tried(boards(package), server(chain), repr(options))
    assert told[:2] == (kind, code), why
    in_words = 'in words: mip.install("securesocket-explain")'
    if package == "securesocket":
        assert told[4].startswith(code) and told[4].endswith(in_words), told
    else:
        assert in_words not in told[4] and "found" in told[4] and not told[4].startswith(code), told
    if code == "hostname":
        assert told[3] == "localhost"


MISSING = (
    ("{'trace': True}", "securesocket-trace"),
    ('{"trust": open("roots.bin", "rb").read()}', "securesocket-options"),
    ('{"ciphers": "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"}', "securesocket-options"),
    ('{"min_version": "TLSv1.2"}', "securesocket-options"),
    ('{"pins": ["00" * 32]}', "securesocket-options"),
    ('{"on_bad_certificate": print}', "securesocket-options"),
    ('{"identity": "CN=device"}', "securesocket-identity"),
)


@pytest.mark.parametrize(("options", "package"), MISSING)
def test_what_the_core_leaves_out_names_its_package(boards, options, package):
    told = tried(boards("securesocket"), 1, options)
    assert told[:2] == ("MissingPackage", "package") and told[3] == package
    assert f'mip.install("{package}")' in told[4]


USES = (
    ("securesocket.set_clock()", "securesocket-clock"),
    ("securesocket.help()", "securesocket-explain"),
    ("securesocket.default_store()", "certstore-edit"),
    ("CertStore('roots.bin').add(b'')", "certstore-edit"),
    ("CertStore('roots.bin').unlock(b'')", "certstore-identity"),
    ("Certificate(CertStore('roots.bin').certificate(0)).names", "certstore-explain"),
    ("Certificate(CertStore('roots.bin').certificate(0)).not_after", "certstore-files"),
)


@pytest.mark.parametrize(("use", "package"), USES)
def test_each_use_of_another_package_names_it(boards, use, package):
    script = (
        "import securesocket\nfrom certstore.store import CertStore\n"
        "from certstore.certificate import Certificate\n"
        f"try:\n    {use}\nexcept securesocket.MissingPackage as error:\n    print(error.expected)"
    )
    assert boards("securesocket").run(script) == package + "\n"


def test_changes_of_the_store_are_not_passed_over(boards, pki, tmp_path, index):
    """Without the reader of what was removed nothing is trusted."""
    board = Board(tmp_path / "flash")
    board.mpremote(["mip", "install", "--index", index[0], "securesocket"])
    (board.folder / "roots.bin").write_bytes(anchors.build([pki.root.der], 0))
    (board.folder / "roots-changes.bin").write_bytes(anchors.build([], 0, (), [(b"x" * 20, b"hash")]))
    told = tried(board, 1)
    assert told[0] == "MissingPackage" and told[3] == "certstore-edit"
    (board.folder / "roots-changes.bin").rename(board.folder / "roots.bin.new")
    assert tried(board, 1)[0] == "MissingPackage"


# ---- more packages


def test_trace_tells_what_passes(boards, pki, server):
    script = (
        "import securesocket\nnames = []\n"
        "s = securesocket.SecureSocket('localhost', %d, {'trace': lambda event: names.append(event[2])})\n"
        "print(names[-3:], s.report.bytes_received == s._tracer.received.total)"
    )
    told = boards("securesocket-trace").run(script % server(pki.ec))
    assert told == "['ChangeCipherSpec', 'Finished', 'open'] True\n"


def test_options_make_a_certificate_trusted(boards, pki, server):
    board = boards("securesocket-options")
    (board.folder / "ca.pem").write_bytes(pki.root.pem)
    port = server(pki.ec)
    (board.folder / "roots.bin").write_bytes(anchors.build([make("Other", ca=True).der], 0))
    assert tried(board, port)[0] == "UnknownIssuer"
    assert tried(board, port, '{"trust": open("ca.pem").read()}') == ("verified", True)


def test_a_certificate_that_is_trusted_for_itself(boards, pki, server):
    above = make("Nobody's Root", ca=True)
    alone = make("localhost", above, hosts=("localhost",))
    expired = make("localhost", above, hosts=("localhost",), not_after=NOW - DAY)
    elsewhere = make("other.test", above, hosts=("other.test",))
    core, more = boards("securesocket"), boards("securesocket-options")
    for member, told in ((alone, "verified"), (expired, "Expired"), (elsewhere, "HostnameMismatch")):
        store = anchors.build([member.der], 0)
        port = server([member])
        for board, expected in ((core, "MissingPackage"), (more, told)):
            (board.folder / "exact.bin").write_bytes(store)
            options = '{"trust": __import__("certstore.store").store.CertStore("exact.bin")}'
            assert tried(board, port, options)[0] == expected, (member, board)


def test_everything_together_reports(boards, pki, server):
    board = boards("securesocket-full")
    script = "import securesocket\ns = securesocket.SecureSocket('localhost', %d)\nprint(s.report.anchor)"
    assert board.run(script % server(pki.ec)) == "CN=Test Root\n"
