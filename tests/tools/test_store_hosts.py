"""`securesocket store build --hosts`: the anchors of verified chains, and nothing for hosts that fail."""

import os
import pty
import re
import socket
import subprocess
import sys
import threading

import certifi
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from plugins import pki
from plugins.command import answer, facts, run
from plugins.interpreters import ROOT
from plugins.peers import PythonServer, RawServer, says, silent
from securesocket_cli import entries, store_files, store_hosts
from securesocket_cli.store_hosts import Host


def operated(subject, organization, **how):
    name = [x509.NameAttribute(NameOID.COMMON_NAME, subject)]
    if organization:
        name.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return pki.make(x509.Name(name), ca=True, **how)


class World:
    """Roots that stand in for Mozilla's, and servers below them."""

    def __init__(self, folder):
        self.folder = folder
        self.first = operated("First Root", "First, Inc.")
        self.second = operated("Second Root", "Second", key="rsa2048")
        self.idle = operated("First Root 2", "FIRST INC", key="ec384")
        self.nameless = operated("Nameless Root", None)
        self.nameless_too = operated("Nameless Root 2", None)
        self.mozilla = [self.first, self.second, self.idle, self.nameless, self.nameless_too]
        self.middle = pki.make("First Intermediate", self.first, ca=True)
        self._servers = []

    def server(self, chain):
        return self._keep(PythonServer(self.folder, chain))

    def raw(self, answer):
        return self._keep(RawServer(answer))

    def _keep(self, server):
        self._servers.append(server)
        return server.port

    def stop(self):
        for server in self._servers:
            server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("servers"))
    world.good = world.server([pki.make("localhost", world.middle), world.middle])
    world.rsa = world.server([pki.make("localhost", world.second, key="rsa2048")])
    yield world
    world.stop()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, world):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    bundle = tmp_path / "cacert.pem"
    bundle.write_bytes(b"".join(member.pem for member in world.mozilla))
    monkeypatch.setattr(certifi, "where", lambda: str(bundle))
    return tmp_path


def hosts(folder, *lines):
    (folder / "hosts.txt").write_text("\n".join(map(str, lines)) + "\n")
    return "--hosts", "hosts.txt"


def titles():
    return sorted(entry.title for entry in store_files.read_store().entries)


def test_a_host_gives_its_anchor_and_no_other(folder, world):
    words = hosts(folder, "# what the product talks to", f"localhost:{world.good}  # EC", "")
    text = run("store", "build", *words)
    assert titles() == ["First Root"]
    assert f"localhost:{world.good}: First Root\n" in text and "roots.bin: 1 certificate," in text


def test_several_hosts(folder, world):
    words = hosts(folder, f"localhost:{world.good}", f"127.0.0.1:{world.rsa}", f"127.0.0.1:{world.good}")
    run("store", "build", *words)
    assert titles() == ["First Root", "Second Root"]


def test_hosts_and_only_choose_together(folder, world):
    run("store", "build", *hosts(folder, f"localhost:{world.good}"), "--only", "Nameless Root")
    assert titles() == ["First Root", "Nameless Root"]


# ---- spare


def test_spare_adds_the_operators_other_roots(folder, world):
    text = run("store", "build", *hosts(folder, f"localhost:{world.good}"), "--spare")
    assert titles() == ["First Root", "First Root 2"]  # "First, Inc." and "FIRST INC"
    assert "roots.bin: 2 certificates," in text
    run("store", "build", "--only", "Second Root", "--spare")
    assert titles() == ["Second Root"]


def test_spare_of_an_unnamed_operator_is_nothing(folder, world):
    run("store", "build", "--only", "Nameless Root", "--spare")
    assert titles() == ["Nameless Root"]


def test_spare_does_not_come_from_ones_own_files(folder, world):
    own = operated("Own Root", "First Inc.")
    (folder / "own.pem").write_bytes(own.pem)
    run("store", "build", "--add", "own.pem", "--only", "First Root", "--spare")
    assert titles() == ["First Root", "First Root 2"]
    # Nor does an own CA's name choose among Mozilla's.
    run("store", "build", "--add", "own.pem", "--only", "Own Root", "--spare")
    assert titles() == ["Own Root"]


def test_spare_alone_is_a_mistake(folder):
    for words in ((), ("--no-mozilla", "--only", "x")):
        assert "--spare goes with" in answer("store", "build", "--spare", *words, status=2)[1]


# ---- which anchor


def test_a_private_ca_is_added(folder, world):
    own = pki.make("Own Root", ca=True)
    (folder / "own.pem").write_bytes(own.pem)
    words = hosts(folder, f"localhost:{world.server([pki.make('localhost', own)])}")
    assert "unable to get local issuer" in run("store", "build", *words, status=1)
    run("store", "build", *words, "--add", "own.pem")
    assert titles() == ["Own Root"]
    run("store", "build", *words, "--add", "own.pem", "--no-mozilla")
    assert titles() == ["Own Root"]


def test_without_mozilla_its_roots_verify_nothing(folder, world):
    (folder / "own.pem").write_bytes(pki.make("Own Root", ca=True).pem)
    words = ("--no-mozilla", "--add", "own.pem", *hosts(folder, f"localhost:{world.good}"))
    run("store", "build", *words, status=1)


def test_a_chain_ends_at_the_first_anchor(folder, world):
    # The server shows its root as another signed it: both are there, and the nearer one is enough.
    crossed = pki.cross_signed(world.first, world.second)
    chain = [pki.make("localhost", world.middle), world.middle, crossed]
    run("store", "build", *hosts(folder, f"localhost:{world.server(chain)}"))
    assert titles() == ["First Root"]


def test_an_intermediate_can_be_an_anchor(folder, world):
    (folder / "middle.pem").write_bytes(world.middle.pem)
    run("store", "build", *hosts(folder, f"localhost:{world.good}"), "--add", "middle.pem")
    assert titles() == ["First Intermediate"]


def test_a_leaf_can_stand_for_itself(folder, world):
    # With another certificate behind it, at which nothing ends.
    middle = pki.make("Unknown Intermediate", pki.make("Unknown Root", ca=True), ca=True)
    leaf = pki.make("localhost", middle)
    (folder / "leaf.pem").write_bytes(leaf.pem)
    port = world.server([leaf, middle])
    run("store", "build", *hosts(folder, f"localhost:{port}"), "--add", "leaf.pem")
    assert titles() == ["localhost"]


# ---- hosts that fail


def failing(world):
    """{what: (port, a part of the reason)}"""
    long_ago = {"not_before": pki.BEFORE - 100 * pki.DAY, "not_after": pki.BEFORE}
    return {
        "expired": (
            world.server([pki.make("localhost", world.first, **long_ago)]),
            "certificate has expired",
        ),
        "elsewhere": (world.server([pki.make("x", world.first, hosts=("elsewhere",))]), "Hostname mismatch"),
        "unknown": (world.server([pki.make("localhost", pki.make("Unknown", ca=True))]), "local issuer"),
        "self-signed": (world.server([pki.make("localhost")]), "self-signed certificate"),
        "no intermediate": (world.server([pki.make("localhost", world.middle)]), "local issuer"),
        "plain": (world.raw(says(b"HTTP/1.0 400 Bad Request\r\n\r\n")), "wrong version number"),
        "closing": (world.raw(lambda connection: None), "reset by peer|eof|Broken pipe"),
        "nobody": (closed_port(), "Connection refused"),
    }


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_hosts_that_fail_give_nothing(folder, world):
    rows = failing(world)
    words = hosts(
        folder, f"localhost:{world.good}", *(f"localhost:{port}" for port, _ in rows.values()), "x" * 64
    )
    (folder / "roots.bin").write_bytes(b"what was there")
    text = run("store", "build", *words, status=1)
    assert "9 of 10 hosts failed; roots.bin is not written; --keep-going leaves out:\n" in text
    for what, (port, reason) in rows.items():
        assert re.search(rf"\n  localhost:{port}: .*({reason})", text), (what, text)
    assert f"{'x' * 64}:443: this is no host name" in text and str(world.good) not in text
    assert (folder / "roots.bin").read_bytes() == b"what was there"
    out, errors = answer("store", "build", *words, "--keep-going", status=1)
    assert titles() == ["First Root"]
    assert "roots.bin: 1 certificate," in out and "9 of 10 hosts failed; roots.bin has nothing for:" in errors


def test_a_host_that_does_not_answer(folder, world, monkeypatch):
    monkeypatch.setattr(store_hosts, "TIMEOUT_S", 0.1)
    port = world.raw(silent)
    text = run("store", "build", *hosts(folder, f"localhost:{port}"), status=1)
    assert f"localhost:{port}: no answer in 0.1 s" in text


def test_nothing_is_written_where_all_fail(folder):
    words = hosts(folder, f"localhost:{closed_port()}")
    for more in ((), ("--keep-going",)):
        out, errors = answer("store", "build", *words, *more, status=1)
        assert out == "" and "1 of 1 host failed; roots.bin is not written" in errors
    assert not (folder / "roots.bin").exists()


def test_results_in_json(folder, world):
    closed = closed_port()
    words = hosts(folder, f"localhost:{world.good}", f"localhost:{closed}")
    told = facts("store", "build", *words, status=1)
    [first] = [entry for entry in entries.mozilla()[0] if entry.title == "First Root"]
    assert told["hosts"] == [
        {"host": "localhost", "port": world.good, "ski": first.ski.hex(), "error": None},
        {"host": "localhost", "port": closed, "ski": None, "error": "Connection refused"},
    ]
    assert (told["store"], told["certificates"], told["bytes"]) == (None, [], None)
    told = facts("store", "build", *words, "--keep-going", status=1)
    assert told["store"] == "roots.bin" and [each["subject"] for each in told["certificates"]] == [
        first.subject
    ]


def test_what_a_peer_says_is_printed_escaped(folder, world, monkeypatch):
    def hostile(*_):
        raise OSError("\x1b[2J")

    monkeypatch.setattr(store_hosts, "_verified_chain", hostile)
    assert "localhost:443: \\1B[2J" in run("store", "build", *hosts(folder, "localhost"), status=1)


# ---- the file of hosts


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", Host("example.com", 443)),
        ("example.com:8883", Host("example.com", 8883)),
        ("192.0.2.1:1", Host("192.0.2.1", 1)),
        ("[2001:db8::1]", Host("2001:db8::1", 443)),
        ("[2001:db8::1]:65535", Host("2001:db8::1", 65535)),
    ],
)
def test_hosts_that_are_read(folder, text, host):
    hosts(folder, text, f" {text}\t# again", "#" + text, "")
    assert store_hosts.read_hosts("hosts.txt") == [host]
    assert store_hosts.parse_host(str(host)) == host


@pytest.mark.parametrize(
    "text",
    ["a:0", "a:65536", "a:", ":443", "a:b", "a:-1", "a:²", "2001:db8::1", "[::1", "https://a", "a/b", "a b"],
)
def test_lines_that_are_no_hosts(folder, text):
    words = hosts(folder, "ok", text)
    error = run("store", "build", *words, status=1)
    assert f'hosts.txt, line 2: found "{text}", expected host or host:port' in error


def test_files_that_hold_no_hosts(folder):
    assert "hosts.txt: no host in it" in run("store", "build", *hosts(folder, "# none"), status=1)
    (folder / "hosts.txt").write_bytes(b"\xff\xfe\0")
    assert "hosts.txt: this is not a text file" in run("store", "build", "--hosts", "hosts.txt", status=1)
    assert "gone.txt: No such file" in run("store", "build", "--hosts", "gone.txt", status=1)


# ---- as a program


def program(folder, world, stderr):
    (folder / "first.pem").write_bytes(world.first.pem)
    words = ("--no-mozilla", "--add", "first.pem", *hosts(folder, f"localhost:{world.good}"))
    env = os.environ | {"PYTHONPATH": str(ROOT / "tools"), "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "securesocket_cli", "store", "build", *words]
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=stderr, timeout=30, check=True)


def test_the_progress_bar_is_for_terminals_only(folder, world):
    assert program(folder, world, subprocess.PIPE).stderr == b""
    terminal, end = pty.openpty()
    seen = []

    def read():
        try:
            while piece := os.read(terminal, 4096):
                seen.append(piece)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    done = program(folder, world, end)
    os.close(end)
    reader.join(10)
    os.close(terminal)
    assert b"connecting" in b"".join(seen) and b"connecting" not in done.stdout
