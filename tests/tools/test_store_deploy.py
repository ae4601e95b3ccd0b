"""The command `securesocket store frozen|romfs|push|tag`: as a device takes it, on the Unix port."""

import hashlib
import hmac
import os
import subprocess
import types

import pytest

from certstore import pkcs8
from certstore.identities import Stored
from certstore.keys import private_key
from certstore.store import CertStore
from plugins import pki
from plugins.command import answer, run
from plugins.interpreters import BUILDS, ROOT, binary
from securesocket_cli import entries, store_deploy, store_files, transport

LIB = ROOT / "lib" / "certstore"
X1_SKI = "79b459e67bb6e5e40173800888c81a58f6e99b6e"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


@pytest.fixture
def store(folder):
    """The bytes of ./roots.bin."""
    run("store", "build", "--only", "ISRG Root X1", "--only", "GTS Root R4", "--build-time", "1000")
    return (folder / "roots.bin").read_bytes()


def with_identity(path):
    """A store with a private key in it that is not encrypted."""
    member = pki.make("device-17", hosts=())
    kind, key = private_key(member.private())
    identity = Stored("device-17", [member.der], pkcs8.wrap(kind, key))
    store_files.write(path, store_files.make(entries.mozilla()[0][:2], 1000, [identity]))
    return key


def micropython(script, build="stock"):
    """What a script prints that sees the sources of certstore."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MICROPY")}
    done = subprocess.run(
        [binary(build), "-c", script], env=env | {"MICROPYPATH": f"{LIB}:.frozen"}, capture_output=True,
        text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- frozen


def test_frozen(folder, store):
    text = run("store", "frozen")
    assert "securesocket_roots.py: 2 certificates," in text
    assert 'module("securesocket_roots.py", base_path=".")' in text
    spaces = {}
    exec((folder / "securesocket_roots.py").read_text(), spaces)
    assert spaces["DATA"] == store
    script = (
        f"import sys; sys.path.append({str(folder)!r})\nimport securesocket_roots as r\nprint(len(r.DATA))"
    )
    assert micropython(script) == f"{len(store)}\n"


def test_frozen_by_names(folder, store):
    os.rename("roots.bin", "other.bin")
    assert 'base_path="made/here")' in run("store", "frozen", "other.bin", "--out", "made/here/roots.py")
    assert sorted(path.name for path in folder.rglob("*")) == ["here", "made", "other.bin", "roots.py"]
    again = (folder / "made" / "here" / "roots.py").read_bytes()
    run("store", "frozen", "other.bin", "--out", "made/here/roots.py")
    assert (folder / "made" / "here" / "roots.py").read_bytes() == again


# ---- romfs

MOUNT = """
import vfs
vfs.mount(vfs.VfsRom(open({image!r}, "rb").read()), "/rom")
from certstore.store import CertStore
store = CertStore("/rom/roots.bin")
store.verify()
print(len(store), store.build_time, store.find(bytes.fromhex({ski!r})) >= 0)
print(len(memoryview(open("/rom/roots.bin", "rb"))))
"""


@pytest.mark.parametrize("build", BUILDS)
def test_romfs_is_read_in_place(folder, store, build):
    text = run("store", "romfs")
    assert "roots.romfs: 2 certificates," in text and "mpremote romfs deploy roots.romfs" in text
    image = (folder / "roots.romfs").read_bytes()
    assert image.count(store) == 1
    script = MOUNT.format(image=str(folder / "roots.romfs"), ski=X1_SKI)
    assert micropython(script, build) == f"2 1000 True\n{len(store)}\n"


# ---- private keys


@pytest.mark.parametrize(
    ("verb", "out"),
    [("frozen", "x.py"), ("romfs", "x.romfs"), ("tag", "x.tagged")],
)
def test_what_holds_private_keys_is_its_owners(folder, verb, out):
    key = with_identity("device.bin")
    (folder / "key").write_bytes(bytes(range(32)))
    more = ("--key-file", "key") if verb == "tag" else ()
    text = run("store", verb, "device.bin", "--out", out, *more)
    assert "2 certificates, 1 identity," in text and "the private key of device-17, not encrypted" in text
    assert (folder / out).stat().st_mode & 0o777 == 0o600
    assert key.hex() not in text


# ---- tag


def test_tag(folder, store):
    key = os.urandom(32)
    (folder / "key").write_bytes(key)
    assert f"tagged.bin: 2 certificates, {len(store) + 32} bytes" in run(
        "store", "tag", "--key-file", "key", "--out", "tagged.bin"
    )
    made = (folder / "tagged.bin").read_bytes()
    expected = hmac.digest(key, b"securesocket store replacement 1\0" + store, "sha256")
    assert made == store + expected
    assert (folder / "roots.bin").read_bytes() == store


def test_a_device_takes_what_was_tagged(folder, store):
    (folder / "key").write_bytes(bytes(range(40)))
    run("store", "tag", "--key-file", "key", "--out", "tagged.bin")
    run("store", "build", "--only", "ISRG Root X2", "--build-time", "500", "--out", "flash.bin")
    device = CertStore("flash.bin", tag_key=bytes(range(40)))
    device.replace("tagged.bin")
    assert device.digest == CertStore(store).digest
    device.close()


@pytest.mark.parametrize(("size", "status"), [(0, 1), (31, 1), (32, 0), (200, 0)])
def test_length_of_a_tags_key(folder, store, size, status):
    (folder / "key").write_bytes(bytes(size))
    said = run("store", "tag", "--key-file", "key", "--out", "tagged.bin", status=status)
    if status:
        assert (
            f"key: found {size} bytes, expected 32 or more" in said and not (folder / "tagged.bin").exists()
        )


def test_tag_needs_a_key_and_a_name(folder, store):
    assert "gone: No such file" in run("store", "tag", "--key-file", "gone", "--out", "t", status=1)
    (folder / "key").write_bytes(bytes(32))
    answer("store", "tag", "--key-file", "key", status=2)
    answer("store", "tag", "--out", "t", status=2)


# ---- push

# In every Python that starts: mpremote finds one serial port, and behind it the Unix port with a real file
# system in a file. FAULT damages what is written, or breaks the connection at a command.
SITE = """
import ast, os, subprocess, sys, types
import mpremote.commands
from mpremote.transport import Transport, TransportError, TransportExecError

class Board(Transport):
    def __init__(self, device, baudrate):
        if device != "/dev/ttyTEST":
            raise TransportError("failed to access " + device)
        self.in_raw_repl = self.mounted = False
        self.process = subprocess.Popen(
            [os.environ["BOARD"], "-c", os.environ["BOARD_PROGRAM"]], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, cwd="/")
        self.fault = os.environ.get("FAULT", "")

    def enter_raw_repl(self, soft_reset=True, **_):
        self.in_raw_repl = True

    def exit_raw_repl(self):
        self.in_raw_repl = False

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def exec(self, command, data_consumer=None):
        text = command if isinstance(command, str) else command.decode()
        if self.fault == "damage" and text.startswith("w("):
            text = text.replace("\\\\x00", "\\\\x01", 1)
        if self.fault and self.fault != "damage" and self.fault in text:
            raise TransportError("device disconnected")
        self.process.stdin.write(repr(text).encode() + b"\\n")
        self.process.stdin.flush()
        output = b""
        while b"\\x04" not in output[-4:]:
            output += self.process.stdout.readline()
        output, _, status = output.rpartition(b"\\x04")
        if status.strip() != b"0":
            raise TransportExecError(1, output.decode())
        if data_consumer:
            data_consumer(output)
        return output

    def exec_raw_no_follow(self, command):
        self.pending = command

    def follow(self, timeout, data_consumer=None):
        try:
            return self.exec(self.pending, data_consumer), b""
        except TransportExecError as error:
            return b"", error.error_output.encode()

    def eval(self, expression, parse=True):
        return ast.literal_eval(self.exec("print(repr(%s))" % expression).decode())

mpremote.commands.SerialTransport = Board
port = types.SimpleNamespace(device="/dev/ttyTEST", vid=1, pid=2)
mpremote.commands.serial.tools.list_ports.comports = lambda: [port] if "UNPLUGGED" not in os.environ else []
"""

# The board's program: each line is a command, as repr; \x04 and a digit end what it prints.
PROGRAM = """
import sys, os, vfs
class Flash:
    def __init__(self, path, count=512, size=512):
        self.count, self.size = count, size
        self.file = open(path, "r+b")
    def readblocks(self, n, buf, off=0):
        self.file.seek(n * self.size + off)
        self.file.readinto(buf)
    def writeblocks(self, n, buf, off=0):
        self.file.seek(n * self.size + off)
        self.file.write(buf)
        self.file.flush()
    def ioctl(self, op, arg):
        return {{4: self.count, 5: self.size}}.get(op, 0)
flash = Flash({image!r})
try:
    vfs.mount({kind}(flash), "/flash")
except OSError:
    {kind}.mkfs(flash)
    vfs.mount({kind}(flash), "/flash")
os.chdir("/flash")
sys.path[:] = [{lib!r}]
known = {{}}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    status = 0
    try:
        exec(eval(line), known)
    except Exception as error:
        sys.print_exception(error, sys.stdout)
        status = 1
    print("\\x04%d" % status)
"""


class Board:
    """Where `store push` arrives: the Unix port with a file system in a file."""

    def __init__(self, folder, kind, monkeypatch):
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SITE)
        (folder / "flash.img").write_bytes(bytes(512 * 512))
        self.program = PROGRAM.format(image=str(folder / "flash.img"), kind="vfs." + kind, lib=str(LIB))
        self.setenv = monkeypatch.setenv
        for name in [name for name in os.environ if name.startswith("MICROPY")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PYTHONPATH", str(folder / "site"))
        monkeypatch.setenv("BOARD", str(binary("stock")))
        monkeypatch.setenv("BOARD_PROGRAM", self.program)

    def run(self, *lines):
        """What a program on the board prints."""
        done = subprocess.run(
            [binary("stock"), "-c", self.program], input=repr("\n".join(lines)) + "\n", capture_output=True,
            text=True, timeout=30, cwd="/",
        )  # fmt: skip
        output, _, status = done.stdout.rpartition("\x04")
        assert status == "0\n", done
        return output

    def put(self, name, data):
        self.run(f"with open({name!r}, 'wb') as f: f.write({data!r})")

    def files(self):
        """{name: SHA-256}"""
        lines = (
            "import os, hashlib, binascii",
            "for name in os.listdir():",
            " if os.stat(name)[0] & 0x8000:",
            "  print(name, hashlib.sha256(open(name, 'rb').read()).digest().hex())",
        )
        return dict(line.split() for line in self.run(*lines).splitlines())


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["VfsLfs2", "VfsFat"])
def board(tmp_path, request, monkeypatch):
    return Board(tmp_path, request.param, monkeypatch)


@pytest.fixture
def littlefs(tmp_path, monkeypatch):
    return Board(tmp_path, "VfsLfs2", monkeypatch)


def test_push(folder, store, board):
    text = run("store", "push")
    assert text == f":roots.bin: 2 certificates, {len(store)} bytes, as they are here\n"
    assert board.files() == {"roots.bin": sha256(store)}
    opened = "from certstore.store import CertStore\ns = CertStore('roots.bin'); s.verify(); print(len(s))"
    assert board.run(opened) == "2\n"
    # Over an older one.
    run("store", "add", "ISRG Root X2")
    run("store", "push")
    assert board.files() == {"roots.bin": sha256((folder / "roots.bin").read_bytes())}
    assert board.run(opened) == "3\n"


def test_push_by_names(folder, store, littlefs):
    os.rename("roots.bin", "-other.bin")
    littlefs.run("import os; os.mkdir('lib')")
    littlefs.setenv("UNPLUGGED", "1")  # nothing that mpremote would find by itself
    text = run("store", "push", "--port", "/dev/ttyTEST", "--to", ":lib/roots.bin", "--", "-other.bin")
    assert text.startswith(":lib/roots.bin: 2 certificates")
    assert littlefs.run("import os; print(os.listdir('lib'))") == "['roots.bin']\n"


def test_an_update_left_pending_does_not_win(folder, store, board):
    old, older = store_files.make(entries.mozilla()[0][:1], 1), store_files.make(entries.mozilla()[0][1:2], 2)
    board.put("roots.bin", old)
    board.put("roots.bin.new", older + b"complete")
    opened = "from certstore.store import CertStore\nprint(CertStore('roots.bin').build_time)"
    run("store", "push")
    assert board.run(opened) == "1000\n"
    assert board.files() == {"roots.bin": sha256(store)}
    # It would have won:
    board.put("roots.bin.new", older + b"complete")
    assert board.run(opened) == "2\n"


def test_what_arrives_damaged_is_not_used(folder, store, board):
    old = store_files.make(entries.mozilla()[0][:1], 1)
    board.put("roots.bin", old)
    board.put("roots.bin.new", b"pending")
    board.setenv("FAULT", "damage")
    text = run("store", "push", status=1)
    assert "what arrived on the board is not what was sent" in text and "push again" in text
    assert board.files() == {"roots.bin": sha256(old), "roots.bin.new": sha256(b"pending")}


@pytest.mark.parametrize("at", ["open('roots.bin.part'", "w(", "hashlib", "os.rename"])
def test_a_board_that_goes_away(folder, store, littlefs, at):
    old = store_files.make(entries.mozilla()[0][:1], 1)
    littlefs.put("roots.bin", old)
    littlefs.setenv("FAULT", at)
    text = run("store", "push", status=1)
    assert text.startswith("securesocket: mpremote: ") and "disconnected" in text
    left = littlefs.files()
    assert left.pop("roots.bin") == sha256(old)
    # What was copied and compared stays; what was not is removed.
    assert left == ({"roots.bin.part": sha256(store)} if at == "os.rename" else {})


def test_a_board_without_room(folder, littlefs):
    run("store", "build")
    littlefs.run("f = open('full', 'wb')\nfor i in range(450): f.write(bytes(512))\nf.close()")
    text = run("store", "push", status=1)
    assert text == "securesocket: mpremote: cp: roots.bin.part: No space left on device.\n"
    assert list(littlefs.files()) == ["full"]


def test_no_board(folder, store, littlefs):
    littlefs.setenv("UNPLUGGED", "1")
    text = run("store", "push", status=1)
    assert (
        text == "securesocket: mpremote: no device found; remedy: connect a board, or name it with --port\n"
    )
    assert "failed to access /dev/ttyX" in run("store", "push", "--port", "/dev/ttyX", status=1)


@pytest.mark.parametrize("to", ["roots.bin", ":", ":lib/", ""])
def test_a_target_that_is_no_file_on_the_board(folder, store, to):
    assert "expected a file on the board, as :roots.bin" in answer("store", "push", "--to", to, status=2)[1]


def test_without_mpremote(folder, store, monkeypatch):
    monkeypatch.setattr(transport.importlib.util, "find_spec", lambda name: None)
    for verb in ("push", "romfs"):
        assert "mpremote is not installed" in run("store", verb, status=1)


def test_a_damaged_store_is_not_pushed(folder, store, littlefs):
    (folder / "roots.bin").write_bytes(store[:-1] + b"x")
    assert "the store's checksum does not hold" in run("store", "push", status=1)
    assert littlefs.files() == {}


@pytest.mark.parametrize("terminal", [True, False])
def test_mpremotes_progress_bar_is_for_terminals_only(folder, store, monkeypatch, terminal):
    shown = []

    def mpremote(words, **how):
        shown.append(how)
        return sha256(store)

    monkeypatch.setattr(store_deploy, "mpremote", mpremote)
    stdout = types.SimpleNamespace(isatty=lambda: terminal)
    monkeypatch.setattr(store_deploy, "sys", types.SimpleNamespace(stdout=stdout))
    run("store", "push")
    assert shown == [{"shown": terminal}, {}, {}]


def test_each_verb_has_its_line_of_help():
    lines = run("store", "--help").partition("Commands:\n")[2].splitlines()
    verbs = "add build check diff find frozen list merge push remove romfs show tag verify".split()
    assert [line.split()[0] for line in lines] == verbs
    assert all(line.endswith(".") and "..." not in line for line in lines)
    for verb in verbs:
        assert run("store", verb, "--help").startswith(f"Usage: cli store {verb} ")
