"""`securesocket memory` with devices that connect: MicroPython's Unix port, a board, an emulated Pico."""

import os
import shutil

import pytest

from certstore import anchors
from plugins.board import Board
from plugins.command import answer, run
from plugins.interpreters import ROOT, binary
from plugins.peers import PythonServer, free_port
from plugins.pki import DAY, NOW, Pki
from securesocket_cli import memory_device, memory_server, memory_trace, targets
from securesocket_cli.errors import CommandError

BUILD_TIME = int((NOW - 10 * DAY).timestamp())
PASSED = [
    "ClientHello", "ServerHello", "Certificate", "ServerKeyExchange", "ServerHelloDone", "ClientKeyExchange",
    "ChangeCipherSpec", "Finished", "ChangeCipherSpec", "Finished",
]  # fmt: skip
# What the budget tells, before all else.
BUDGET = ("budget", "largest block")
# What a server may send besides.
BESIDES = ("NewSessionTicket", "CertificateStatus")
pki = Pki()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the command is typed, and so the device's working directory."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MICROPY"):
            monkeypatch.delenv(name)
    (tmp_path / "root.pem").write_bytes(pki.root.pem)
    return tmp_path


@pytest.fixture
def server(folder):
    made = PythonServer(folder, pki.ec)
    yield made
    made.stop()


def traced(*words, status=0):
    """(Trace, standard output) of a run."""
    said, trouble = answer("memory", *words, "--save", "trace.json", status=status)
    assert trouble == ""
    return memory_trace.load("trace.json"), said


def messages(trace):
    return [event.name for event in trace.events if event.way in "<>" and event.name not in BESIDES]


def ours(trace):
    return [event.name for event in trace.events if event.way == "="]


# ---- the Unix port


@pytest.mark.parametrize(("key", "chain"), [("ec", 2), ("ec", 3), ("ec", 4), ("rsa", 2), ("rsa", 4)])
def test_a_handshake(key, chain):
    trace, said = traced("--target", "unix", "--key", key, "--chain", chain, "--out", "heap.svg")
    assert messages(trace)[: len(PASSED)] == PASSED
    assert ours(trace).count("verify") == chain and "open" in ours(trace)
    assert [name for name in ours(trace) if name not in BUDGET][:3] == ["resolve", "connect", "verify"]
    assert not set(ours(trace)[1:]) & {"budget"}
    report = trace.fact("report")
    assert len(report["chain"]) == chain and report["anchor"] == "CN=Test Root"
    assert ("ECDSA" if key == "ec" else "RSA") in report["cipher"]
    budget = trace.fact("budget")
    assert budget["key"].split()[0] == key.upper() and budget["fits"]
    # What was said to be needed was enough, and the heap was no larger than it is.
    assert 16_384 < budget["largest_needed"] <= budget["needed"] <= budget["free"] < trace.fact("heap_bytes")
    assert 20_000 < trace.peak < budget["free"]
    assert trace.events == tuple(sorted(trace.events, key=lambda event: event.at_ms))
    assert "open, verified after a handshake of" in said and said.endswith("wrote heap.svg\n")
    assert (os.stat("heap.svg").st_size) > 20_000


def test_each_run_has_a_ca_of_its_own():
    """What the device is given to trust is that root alone."""
    with memory_server.serving("ec", 2) as (_, first), memory_server.serving("ec", 2) as (_, second):
        assert first != second
    trace, _ = traced("--target", "unix")
    assert trace.fact("report", "anchor_source") == "certificate"


def test_a_server_ends_with_its_run():
    with memory_server.serving("ec", 2) as (port, _):
        pass
    trace, _ = traced("--target", "unix", f"127.0.0.1:{port}", "--ca", "root.pem", status=1)
    assert trace.fact("error", "code") == "connect"


@pytest.mark.parametrize("build", ["stock", "stock-1.25"])
def test_other_builds(build):
    trace, _ = traced("--target", "unix", "--micropython", binary(build))
    assert messages(trace)[: len(PASSED)] == PASSED
    assert trace.fact("micropython").startswith("1.25" if build == "stock-1.25" else "1.26")


def test_a_heap_that_is_too_small():
    trace, said = traced("--target", "unix", "--heap", 40 * 1024, status=1)
    assert trace.fact("error", "class") == "MemoryBudgetError" and messages(trace) == []
    assert "MemoryBudgetError" in said and not trace.fact("budget", "fits")
    assert trace.fact("budget", "needed") > trace.fact("budget", "free")


def test_a_heap_that_is_too_small_and_a_connection_anyway():
    trace, said = traced("--target", "unix", "--heap", 40 * 1024, "--anyway", "--out", "heap.png", status=1)
    assert ours(trace)[-1].startswith("failed") and "connect" in ours(trace)
    assert "✗" in said and said.endswith("wrote heap.png\n")


def test_a_server_that_the_device_does_not_trust(server):
    trace, said = traced("--target", "unix", f"localhost:{server.port}", status=1)
    assert trace.fact("error", "code") == "unknown-issuer" and "✗  failed unknown-issuer" in said
    assert "Certificate" in messages(trace) and "ClientKeyExchange" not in messages(trace)


def test_a_server_with_a_ca_given(server):
    trace, _ = traced("--target", "unix", f"localhost:{server.port}", "--ca", "root.pem")
    assert trace.fact("report", "anchor") == "CN=Test Root"
    assert trace.fact("report", "anchor_source") == "certificate"


def test_a_server_with_a_store_given(folder, server):
    (folder / "other.bin").write_bytes(anchors.build([pki.root.der], BUILD_TIME))
    trace, _ = traced("--target", "unix", f"localhost:{server.port}", "--store", "other.bin")
    assert trace.fact("report", "anchor_source") == "store"


def test_a_server_with_the_device_s_store(folder, server):
    (folder / "roots.bin").write_bytes(anchors.build([pki.root.der], BUILD_TIME))
    trace, _ = traced("--target", "unix", f"localhost:{server.port}")
    assert trace.fact("report", "anchor_source") == "store"


def test_a_port_that_nobody_listens_on():
    trace, _ = traced("--target", "unix", f"127.0.0.1:{free_port()}", status=1)
    assert trace.fact("error", "code") == "connect" and messages(trace) == []


def test_a_binary_without_the_modules(folder, monkeypatch):
    monkeypatch.setenv("MICROPYPATH", str(folder))
    text = run("memory", "--target", "unix", status=1)
    assert "unix: found no module securesocket.socket on the device" in text and "remedy: make build" in text


@pytest.mark.parametrize("name", ["trace", "budget", "report"])
def test_a_device_without_a_part(folder, monkeypatch, name):
    """Only the trace is needed; without another less is told."""
    for package in ("certstore", "securesocket"):
        shutil.copytree(ROOT / "lib" / package / package, folder / "lib" / package)
    (folder / "lib" / "securesocket" / f"{name}.py").unlink()
    monkeypatch.setenv("MICROPYPATH", str(folder / "lib"))
    words = ("--target", "unix", "--heap", 400_000)
    if name == "trace":
        assert "found no module securesocket.trace on the device" in run("memory", *words, status=1)
    else:
        trace, _ = traced(*words, "--out", "heap.svg")
        assert messages(trace)[: len(PASSED)] == PASSED and trace.fact(name) is None


def test_more_events_than_are_kept():
    """The tracer of the device's program counts those that it has no room for; the trace is refused."""
    script = memory_device.CONNECT.replace(f"LIMIT = {memory_device.LIMIT}", "LIMIT = 4")
    with memory_server.serving("ec", 2) as (port, root), targets.target("unix", heap=131_072) as device:
        params = {"HOST": "localhost", "PORT": port, "ROOTS": [root], "STORE": None, "ANYWAY": False}
        rows = device.run(script, params)
    with pytest.raises(CommandError, match="found 4 events of "):
        memory_trace.of_rows(rows, "unix")


# ---- a board


@pytest.fixture
def board(folder):
    made = Board(folder, path=["", ".frozen", "/lib"])
    yield made
    made.close()


def test_a_board(board, server):
    trace, _ = traced("--target", board.port, f"localhost:{server.port}", "--ca", "root.pem")
    assert messages(trace)[: len(PASSED)] == PASSED and trace.fact("target") == board.port


def test_a_board_without_securesocket(folder):
    board = Board(folder)
    text = run("memory", "--target", board.port, "example.com:443", status=1)
    board.close()
    assert f"remedy: securesocket deploy {board.port}" in text


BOARD_NEEDS = (
    ((), "a board cannot reach this computer's loopback, expected HOST:PORT"),
    (("localhost:1", "--heap", 65_536), "--heap: found target socket://"),
    (("localhost:1", "--store", "roots.bin"), "remedy: securesocket deploy PORT --store FILE"),
)


@pytest.mark.parametrize(("words", "found"), BOARD_NEEDS)
def test_what_a_board_needs(folder, board, words, found):
    (folder / "roots.bin").write_bytes(anchors.build([pki.root.der], BUILD_TIME))
    assert found in run("memory", "--target", board.port, *words, status=1)


# ---- what cannot be


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (
            ("--target", "unix", "--micropython", "no"),
            "remedy: make build, in a checkout, or --micropython PATH",
        ),
        (("--target", "unix", "example.com:x"), '"example.com:x": expected HOST:PORT'),
        (("--target", "unix", "example.com:1", "--ca", "none.pem"), "No such file"),
        (("--target", "unix", "example.com:1", "--store", "root.pem"), "root.pem"),
        (("--target", "unix", "--save", "no/trace.json"), "No such file"),
        (("--target", "/dev/ttyNONE", "example.com:1"), "/dev/ttyNONE: no such port"),
    ],
)
def test_what_cannot_be(words, found):
    _, text = answer("memory", *words, status=1)
    assert text.startswith("securesocket: ") and found in text


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--target", "unix", "--from", "trace.json"),
        ("--target", "unix", "--ca", "root.pem"),
        ("--target", "unix", "--chain", "1"),
        ("--target", "unix", "--chain", "5"),
        ("--target", "unix", "--key", "dsa"),
        ("--target", "unix", "--heap", "24575"),
    ],
)
def test_what_is_no_command(words):
    answer("memory", *words, status=2)


# ---- an emulated Pico


@pytest.mark.xdist_group("emulator")
def test_an_emulated_pico():
    trace, said = traced("--target", "emulator", "--out", "heap.svg")
    assert messages(trace)[: len(PASSED)] == PASSED
    assert "RP2040" in trace.fact("machine")
    assert trace.fact("heap_bytes") > 200_000
    # Seen from outside, at every moment, there is at least as much in use as at any event.
    assert trace.fact("peak_bytes") >= max(map(trace.used, trace.events)) - 1024
    assert said.endswith("wrote heap.svg\n")
