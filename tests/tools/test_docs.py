"""The documentation says what the code does: what is generated is current, what is shown runs, and what
is called a limit is one."""

import ast
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib

import pytest

from certstore import anchors, pbes2
from certstore.identities import Stored
from plugins.interpreters import BUILDS, ROOT
from plugins.peers import PythonServer, free_port, page
from plugins.pki import Pki
from plugins.unix_board import Board

sys.path.insert(0, str(ROOT / "tools" / "docs"))

import generate
import raised

README = (ROOT / "README.md").read_text()


# ---- what is generated


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_generated_page_is_current(path):
    assert path.read_text() == generate.pages()[path], "run: .venv/bin/python tools/docs/generate.py"


def test_each_code_says_when_it_happens():
    assert set(generate.WHEN) == set(generate.rows())


TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for path in sorted((ROOT / "lib").glob("*/*/**/*.py"))
}
CLASSES = raised.error_classes(TREES)


def test_table_and_sources_have_the_same_classes():
    assert {kind.__name__: [row[0] for row in generate.codes(kind)] for kind in generate.classes()} == CLASSES


def test_every_code_that_is_raised_is_in_its_table():
    for path, tree in TREES.items():
        for kind, code, line in raised.raised(tree, CLASSES):
            assert code is not None, f"{path}:{line}: the code of {kind} cannot be read"
            assert code in CLASSES[kind], f"{path}:{line}: {kind} has no code {code!r}"


def test_every_code_of_a_table_is_raised():
    used = {(kind, code) for tree in TREES.values() for kind, code, _ in raised.raised(tree, CLASSES)}
    assert {(kind, code) for kind, codes in CLASSES.items() for code in codes} - used == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n    raise E('a')", ["a"]),
        ("def f():\n    raise errors.E('a', found=1)", ["a"]),
        ("def f():\n    c = 'a' if x else 'b'\n    raise E(c)", ["a", "b"]),
        ("def f():\n    for n, c in ((1, 'a'), (2, 'b')):\n        raise E(c)", ["a", "b"]),
        ("def f(c):\n    return E(c)\nraise f('a')", ["a"]),
        (
            "class S:\n    def f(self, c):\n        return E(c)\n    def g(self):\n        raise self.f('a')",
            ["a"],
        ),
        ("T = ((1, 'E', 'a'),)", ["a"]),
        ("T = ('E', 'E')", []),
        ("def f():\n    raise E(unknown())", [None]),
        ("def f():\n    raise Other('a')", []),
    ],
)
def test_the_reader_of_raised_errors_sees_every_form(source, found):
    assert sorted(code for _, code, _ in raised.raised(ast.parse(source), {"E": []})) == found


# ---- what is verified


def items(text):
    """The numbered list of a text, item by item, in one form."""
    found = re.findall(r"^ *(\d+)\. (.*)$", text, re.M)
    return [(number, re.sub(r"\(here\b", "(by securesocket", words)) for number, words in found]


def unverified(text):
    paragraph = re.search(r"Not verified:(.*?)\n\n", text, re.S)[1]
    return " ".join(paragraph.replace("*", "").replace("`", "").split())


def test_readme_tells_what_is_verified_as_the_code_does():
    code = ast.get_docstring(TREES_TRUST)
    assert items(README) == items(code)
    assert [number for number, _ in items(code)] == list("123456789")
    assert unverified(README) == unverified(code)
    assert unverified(code).startswith("revocation")


TREES_TRUST = TREES["lib/securesocket/securesocket/trust.py"]


def test_limits_are_those_of_the_code():
    certificates, message = generate.constants(
        generate.SECURESOCKET / "handshake.py", "MAX_CERTIFICATES", "MAX_CERTIFICATE_MESSAGE"
    )
    assert f"At most {certificates} certificates and {message} bytes" in README
    trust = (ROOT / "docs" / "trust.md").read_text()
    assert f"above {message} bytes, more than {certificates} certificates" in trust


def test_rows_of_the_benchmarks_exist():
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in re.findall(r"`((?:smallest|heap)_\w+)`", README):
        assert f"`{name}`" in measured


def test_readme_stays_short():
    assert len(README.splitlines()) <= 220


# ---- what is shown: the commands


def blocks(language, page=README):
    """[(heading above, text)] of a page's fenced blocks."""
    found, heading = [], ""
    for match in re.finditer(rf"^## ([^\n]+)$|^```{language}\n(.*?)^```$", page, re.M | re.S):
        if match[1]:
            heading = match[1]
        else:
            found.append((heading, match[2]))
    return found


@pytest.fixture(scope="module")
def pki():
    return Pki()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder like the checkout in which commands may write."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=skip)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    monkeypatch.chdir(folder)
    return folder


def typed(block, board):
    """Does what a block of shell says; mpremote's lines reach the stand-in for the board."""
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == ".venv/bin/mpremote":
            board.mpremote(words[1:])
        else:
            subprocess.run(line, shell=True, check=True, timeout=60)


PACKAGES = (ROOT / "docs" / "packages.md").read_text()
FIRMWARE, MIP = (text for heading, text in blocks("sh") if heading == "On a board")
COPY, COMPILED = (text for heading, text in blocks("sh", PACKAGES))

CONNECT = """
import securesocket
assert securesocket.__file__.endswith(%r), securesocket.__file__
try:
    import securesocket_roots
except ImportError:
    pass
else:
    raise AssertionError("a frozen store")
s = securesocket.SecureSocket("localhost", %d)
print(s.authorized, s.report.anchor, s.report.anchor_source)
"""


def connects(board, pki, tmp_path, suffix=".py", builds=("stock",)):
    """A verified connection on the stand-in, with the store that was copied and one more root in it."""
    (tmp_path / "root.pem").write_bytes(pki.root.pem)
    (board.folder / "my-ca.pem").write_bytes(pki.root384.pem)
    key = pbes2.encrypt(pki.device[0].private(encoding="der"), "the password", iterations=10)
    device = Stored("device-17", [member.der for member in pki.device], key)
    (board.folder / "device.bin").write_bytes(anchors.build((), 0, [device]))
    command = [sys.executable, "-m", "securesocket_cli", "store", "build", "--no-mozilla"]
    command += ["--add", tmp_path / "root.pem", "--out", board.folder / "roots.bin"]
    subprocess.run(command, check=True, capture_output=True)
    server = PythonServer(tmp_path, pki.ec)
    try:
        for build in builds:
            said = board.run(CONNECT % (suffix, server.port), build)
            assert said == "True CN=Test Root store\n"
    finally:
        server.stop()


def test_stock_board_by_mip(checkout, tmp_path, pki):
    board = Board(tmp_path / "board")
    typed(MIP, board)
    assert sorted(path.name for path in board.folder.iterdir()) == ["lib", "roots.bin"]
    said = board.run("from certstore.store import CertStore\nprint(len(CertStore('roots.bin')))")
    assert said == "2\n"  # as many as the command names
    connects(board, pki, tmp_path, builds=BUILDS)


def test_stock_board_by_copy(checkout, tmp_path, pki):
    (checkout / "lib" / "certstore" / "certstore" / "__pycache__").mkdir()
    board = Board(tmp_path / "board")
    typed(COPY, board)
    assert sorted(path.name for path in (board.folder / "lib").iterdir()) == ["certstore", "securesocket"]
    assert not list(board.folder.rglob("__pycache__"))
    connects(board, pki, tmp_path)


def test_stock_board_compiled(checkout, tmp_path, pki):
    board = Board(tmp_path / "board")
    (board.folder / "lib").mkdir()
    typed(COMPILED, board)
    assert {path.suffix for path in board.folder.rglob("*") if path.is_file()} == {".mpy"}
    connects(board, pki, tmp_path, ".mpy", BUILDS)


def test_stock_board_without_a_store_says_what_to_do(checkout, tmp_path, monkeypatch):
    board = Board(tmp_path / "board")
    typed(COPY, board)
    said = board.run(
        "from securesocket import SecureContext, ConfigurationError\n"
        "try:\n    SecureContext()\nexcept ConfigurationError as error:\n    print(error.code, error.remedy)"
    )
    assert said.startswith("no-store ") and "securesocket store push" in said


def test_commands_of_the_firmware_do_what_they_say():
    build, flash, emulate = (line.split("#")[0].split() for line in FIRMWARE.splitlines())
    assert build == ["make", "firmware", "BOARD=PICO_SECURE"] and emulate == ["make", "emulate"]
    done = subprocess.run([*flash, "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "application" in done.stdout and "nothing was written" in done.stdout


def test_boards_of_the_readme_are_all_that_there_are():
    told = re.findall(r"`(\w+_SECURE)`", README.partition("## On a board")[2].partition("```")[0])
    assert sorted(told) == sorted(tomllib.loads((ROOT / "boards" / "boards.toml").read_text()))


def test_the_two_commands_exist():
    commands = [line.split("#")[0].split() for line in blocks("sh")[0][1].splitlines()]
    assert commands == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{words[1]}:", makefile, re.M) for words in commands)
    for command in re.findall(r"\bmake (\w+)`", README):
        assert re.search(rf"^{command}:", makefile, re.M), command


# ---- what is shown: the code


@pytest.fixture
def board_with_all(tmp_path, pki):
    """The stand-in with both packages and every file that the README's code opens."""
    board = Board(tmp_path / "board")
    for package in ("certstore", "securesocket"):
        shutil.copytree(ROOT / "lib" / package / package, board.folder / "lib" / package)
    (board.folder / "ca.pem").write_bytes(pki.root.pem)
    (board.folder / "device.crt").write_bytes(b"".join(member.pem for member in pki.device))
    (board.folder / "device.key").write_bytes(pki.device[0].private())
    (board.folder / "my-ca.pem").write_bytes(pki.root384.pem)
    key = pbes2.encrypt(pki.device[0].private(encoding="der"), "the password", iterations=10)
    device = Stored("device-17", [member.der for member in pki.device], key)
    (board.folder / "device.bin").write_bytes(anchors.build((), 0, [device]))
    command = [sys.executable, "-m", "securesocket_cli", "store", "build", "--no-mozilla"]
    command += ["--add", board.folder / "ca.pem", "--out", board.folder / "roots.bin"]
    subprocess.run(command, check=True, capture_output=True)
    return board


CLIENTS = [code for heading, code in blocks("python") if heading != "Servers"]
SERVERS = (ROOT / "docs" / "servers.md").read_text()


@pytest.mark.parametrize("number", range(len(CLIENTS)))
def test_code_of_the_readme_runs(board_with_all, tmp_path, pki, number):
    server = PythonServer(tmp_path, pki.ec, page, client_ca=pki.device_root.pem)
    code = CLIENTS[number]
    code = code.replace('"example.com", 443', f'"localhost", {server.port}')
    code = re.sub(r'"pins": \["[^"]*"', f'"pins": ["{pki.ec[0].pin.hex()}"', code)
    assert "example.com" not in code.replace("Host: example.com", "")
    # Each connection must be a verified one that works.
    code = re.sub(r"^(s = .*)$", r"\1\nassert s.authorized and s.report.anchor", code, flags=re.M)
    try:
        board_with_all.run(code)
        shown = list(server.peers.values())
    finally:
        server.stop()
    assert len(shown) == code.count("Socket(") + code.count("open_connection(")
    assert [der for der in shown if der] == [pki.device[0].der] * code.count('"identity":')


SERVING = [code for heading, code in [*blocks("python"), *blocks("python", SERVERS)] if "4777" in code]


@pytest.mark.parametrize("number", range(len(SERVING)))
def test_code_of_servers_serves(board_with_all, pki, number):
    """One client, which gets its line back; then it ends, as what is shown does not."""
    port = free_port()
    code = SERVING[number].replace("4777", str(port))
    code = code.replace('"CN=device-17"', '(open("device.crt").read(), open("device.key").read())')
    code = code.replace("readline())\n", "readline())\n    break\n") if "\nfor " in code else code
    code = code.replace("await server.wait_closed()", "await asyncio.sleep(3)")
    for name in ("device", "north", "south"):
        (board_with_all.folder / f"{name}.crt").write_bytes(b"".join(member.pem for member in pki.ec))
        (board_with_all.folder / f"{name}.key").write_bytes(pki.ec[0].private())
    said = []
    thread = threading.Thread(target=lambda: said.append(board_with_all.run(code)))
    thread.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + 20
    while True:
        try:
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with context.wrap_socket(raw, server_hostname="x.south.example") as stream:
        stream.sendall(b"a line\n")
        answer = stream.recv(20)
    thread.join(30)
    assert len(said) == 1
    if "server_name)\nstream.close" in code:
        assert (answer, said) == (b"", ["x.south.example\n"])
    else:
        assert answer == b"a line\n"


def test_page_of_servers_has_every_option_counter_and_default():
    names = TREES["lib/securesocket/securesocket/server.py"].body
    (kind,) = (node for node in names if isinstance(node, ast.ClassDef))
    (bind,) = (node for node in kind.body if getattr(node, "name", "") == "bind")
    asked = SERVERS.partition("## What bind and start_server take")[2].partition("\n## ")[0]
    for argument in (*bind.args.args[1:], *bind.args.kwonlyargs):
        assert f"`{argument.arg}`" in asked, argument.arg
    numbers = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", asked, re.M))
    for name, constant in (
        ("backlog", "DEFAULT_BACKLOG"),
        ("handshake_timeout_ms", "DEFAULT_HANDSHAKE_TIMEOUT_MS"),
        ("max_handshakes", "DEFAULT_MAX_HANDSHAKES"),
    ):
        assert [int(numbers[name])] == generate.constants(generate.SECURESOCKET / "server.py", constant)
    for counter in ("connections", "handshakes", "accepted", "failed", "refused", "waited", "displaced"):
        assert f"`{counter}`" in asked
    (most,) = generate.constants(generate.SECURESOCKET / "server_context.py", "MAX_ANCHORS")
    assert f"at most {most} CAs" in SERVERS
    codes = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", SERVERS.partition("## Errors")[2])
    assert {"client-certificate", "server-memory"} <= set(codes)
    assert set(codes) <= {code for _, code in generate.rows()}


REPORT = (ROOT / "docs" / "report.md").read_text()


BUDGET = (ROOT / "docs" / "budget.md").read_text()


@pytest.mark.parametrize("text", [REPORT, BUDGET], ids=["report", "budget"])
def test_what_is_printed_is_what_the_page_shows(board_with_all, pki, tmp_path, text):
    """Each line but for its numbers."""

    def form(text):
        return [re.sub(r"[0-9][0-9,]*", "0", " ".join(line.split())) for line in text.splitlines()]

    ((_, code),), ((_, shown),) = blocks("python", text), blocks("text", text)
    server = PythonServer(tmp_path, pki.ec, page)
    code = code.replace('"example.com", 443', f'"localhost", {server.port}')
    try:
        said = board_with_all.run(code.replace("example.com", "localhost"))
    finally:
        server.stop()
    assert form(said.replace("localhost", "example.com")) == form(shown)


def test_page_of_the_budget_has_its_calls_and_attributes():
    names = TREES["lib/securesocket/securesocket/budget.py"].body
    called = {node.name for node in names if isinstance(node, ast.FunctionDef) and node.name[0] != "_"}
    # What the rest of the package calls.
    called -= {"check", "check_options", "learn", "table_row", "carries", "kind_of"}
    asked = BUDGET.partition("## What may be asked")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)\(", asked, re.M)) == called
    (estimate,) = (node for node in names if isinstance(node, ast.ClassDef))
    told = {
        node.attr
        for node in ast.walk(estimate)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert told <= set(re.findall(r"`(\w+)`", asked))
    hosts, few = generate.constants(generate.SECURESOCKET / "budget.py", "_HOSTS", "_FEW_ANCHORS")
    assert f"of the last {hosts} |" in BUDGET and f"with up to {few} anchors" in BUDGET


def test_page_of_the_report_has_every_attribute(board_with_all, pki, tmp_path):
    server = PythonServer(tmp_path, pki.ec, page)
    code = "from securesocket import SecureSocket\nprint(*dir(SecureSocket('localhost', %d).report))"
    try:
        said = board_with_all.run(code % server.port)
    finally:
        server.stop()
    told = {name for name in said.split() if not name.startswith("_")}
    rows = re.findall(r"^\| (`.*?`) \|", REPORT.partition("## The report")[2], re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == told


# ---- what is called a limit


class Holding(PythonServer):
    """Sends `pieces` with a pause between, then close_notify; keeps the TCP connection for the client to
    close, and notes in `ending` how TLS ended."""

    def __init__(self, folder, chain, pieces=(b"hello",), pause_s=0.3):
        self.pieces, self.pause_s, self.ending = pieces, pause_s, None
        self.ended = threading.Event()
        super().__init__(folder, chain)

    def serve(self, connection, number):
        stream = self.context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
        for count, piece in enumerate(self.pieces):
            if count:
                self.ended.wait(self.pause_s)
            stream.sendall(piece)
        try:
            if self.pieces:
                stream.unwrap()  # says close_notify, and waits for the client's
            self.ending = stream.recv(1) if not self.pieces else b""
        except OSError as error:
            self.ending = error
        self.ended.set()


@pytest.fixture
def holding(tmp_path, pki, request):
    made = []

    def start(**how):
        made.append(Holding(tmp_path, pki.ec, **how))
        return made[0]

    yield start
    for server in made:
        server.ended.set()
        server.stop()


def run_limit(board, code, server):
    head = f"from securesocket import SecureSocket\ns = SecureSocket('localhost', {server.port})\n"
    return board.run(head + code)


def test_close_sends_no_close_notify(board_with_all, holding):
    server = holding(pieces=())
    run_limit(board_with_all, "s.close()", server)
    assert server.ended.wait(10)
    assert isinstance(server.ending, ssl.SSLEOFError)


def test_the_end_is_told_once(board_with_all, holding):
    """The short read has seen the end; what waits for more sees nothing while TCP stays open."""
    code = "import select\nprint(s.read(100))\np = select.poll()\np.register(s, 1)\nprint(p.poll(300))"
    assert run_limit(board_with_all, code, holding()) == "b'hello'\n[]\n"


@pytest.mark.parametrize(
    "line", ["got = s.read(10)", "b = bytearray(10); s.readinto(b); got = bytes(b)"], ids=["read", "readinto"]
)
def test_read_waits_until_full(board_with_all, holding, line):
    code = f"import time\nt = time.ticks_ms()\n{line}\nprint(got, time.ticks_diff(time.ticks_ms(), t) > 200)"
    server = holding(pieces=(b"hello", b"world"))
    assert run_limit(board_with_all, code, server) == "b'helloworld' True\n"


def test_asyncio_handshake_needs_a_deadline_of_the_caller(board_with_all):
    """open_connection waits as long as the caller lets it; SecureSocket.open has a deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = board_with_all.run(f"""
import asyncio
from securesocket import HandshakeTimeout, SecureContext, SecureSocket

async def usual():
    reader, writer = await asyncio.open_connection("localhost", {port}, ssl=SecureContext())
    await reader.read(1)

async def main():
    try:
        await asyncio.wait_for(usual(), 0.3)
    except asyncio.TimeoutError:
        print("wait_for")
    try:
        await SecureSocket.open("localhost", {port}, timeout_ms=300)
    except HandshakeTimeout as error:
        print(error.code)

asyncio.run(main())
""")
    assert said == "wait_for\ntimeout\n"


@pytest.mark.parametrize(
    "code",
    [
        "SecureContext(alpn=['h2'])",
        "SecureContext(max_fragment_length=512)",
        "SecureContext(psk=('a', b'b'))",
        "SecureContext(tickets=True)",
        "ServerContext(request_client_certificate='optional')",
        "ServerContext(reject_unauthorized=False)",
        "SecureContext(now=int)",
        "SecureContext(min_version='TLSv1.3')",
    ],
)
def test_what_is_not_there_is_refused(board_with_all, code):
    said = board_with_all.run(
        "from securesocket import SecureContext, ServerContext, UnsupportedFeature\n"
        f"try:\n    {code}\nexcept UnsupportedFeature as error:\n    print(error.code)"
    )
    assert said == "feature\n"
