"""`securesocket doctor` on devices that something is wrong with: MicroPython's Unix port, where the command
is typed, with the modules, the store, the clock and the heap that a test gives it."""

import json
import os
import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from certstore import anchors
from plugins.board import Board
from plugins.command import answer
from plugins.interpreters import ROOT, binary
from plugins.live import clock  # noqa: F401  (pytest finds it here)
from plugins.peers import PythonServer, RawServer, free_port, says
from plugins.pki import DAY, NOW, Pki, make
from securesocket_cli import doctor_checks
from securesocket_cli.doctor_checks import OK, PROBLEM, WARNING

SOURCES = {name: ROOT / "lib" / name / name for name in ("certstore", "securesocket")}
BUILD_TIME = int((NOW - 10 * DAY).timestamp())
YEAR = 365 * DAY
# A chain needs certificates that are valid on all the days that a test lets pass.
pki = Pki()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the command is typed, and so the device's working directory."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MICROPY"):
            monkeypatch.delenv(name)
    return tmp_path


def examined(*words, status=0):
    """{check: Row} of what the command tells."""
    said, trouble = answer("doctor", *words, "--json", status=status)
    assert trouble == ""
    rows = [doctor_checks.Row(**row) for row in json.loads(said)]
    assert len({row.check for row in rows}) == len(rows)
    assert status == any(row.status == PROBLEM for row in rows)
    for row in rows:
        assert row.status in (OK, WARNING, PROBLEM) and row.found
        assert row.status == OK or row.remedy, row
    return {row.check: row for row in rows}


def others_are_fine(rows, *but):
    """Nothing else is wrong: a fault is told where it is, and once."""
    assert [row for row in rows.values() if row.status != OK and row.check not in but] == []


def store(folder, *members, build_time=BUILD_TIME):
    blob = anchors.build([member.der for member in members], build_time)
    (folder / "roots.bin").write_bytes(blob)
    return blob


def modules(folder, monkeypatch):
    """The packages as files, which a test may change, in place of all that is frozen: the store too."""
    path = folder / "lib"
    for name, source in SOURCES.items():
        shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Every port has it frozen, and here nothing runs it.
    (path / "asyncio").mkdir()
    for name in ("__init__.py", "core.py"):
        (path / "asyncio" / name).write_text("")
    monkeypatch.setenv("MICROPYPATH", str(path))
    return path


@pytest.fixture
def server(folder):
    made = PythonServer(folder, pki.ec)
    yield made
    made.stop()


# ---- a device that is well


def test_a_device_that_is_well():
    rows = examined("unix")
    assert " ".join(rows) == (
        "MicroPython mbedTLS securesocket packages engine heap handshakes clock store roots random source "
        "network"
    )
    others_are_fine(rows)
    assert rows["MicroPython"].found.startswith("1.26.1 on ")
    assert rows["mbedTLS"].found.startswith("Mbed TLS 3.")
    assert rows["securesocket"].found == "0.1.0 in the firmware"
    assert rows["engine"].found.startswith("stock")
    assert "largest block" in rows["heap"].found and "mbedTLS uses MicroPython's" in rows["heap"].found
    assert "fit at once" in rows["handshakes"].found
    assert "117 roots" in rows["store"].found and "in the firmware" in rows["store"].found
    assert " until 20" in rows["roots"].found


def test_as_text():
    said, _ = answer("doctor", "unix", status=0)
    assert said.splitlines()[1].split()[:4] == ["MicroPython", "✓", "ok", "1.26.1"]
    assert said.endswith("nothing is wrong\n")
    said, _ = answer("doctor", "unix", f"127.0.0.1:{free_port()}", status=1)
    assert "✗ problem" in said and "→ check the port" in said
    assert said.endswith("1 problem, 0 warnings\n")


@pytest.mark.parametrize("build", ["stock", "stock-1.25"])
def test_other_builds(build):
    rows = examined("unix", "--micropython", binary(build))
    others_are_fine(rows)
    assert rows["MicroPython"].found.startswith("1.25." if build == "stock-1.25" else "1.26.")


# ---- modules


def test_without_securesocket(folder, monkeypatch):
    monkeypatch.setenv("MICROPYPATH", str(folder))
    rows = examined("unix", status=1)
    assert (rows["securesocket"].found, rows["securesocket"].remedy) == ("not installed", "make build")
    assert "engine" not in rows and "store" not in rows and rows["clock"].status == OK
    others_are_fine(rows, "securesocket")


def test_without_certstore(folder, monkeypatch):
    shutil.rmtree(modules(folder, monkeypatch) / "certstore")
    rows = examined("unix", status=1)
    assert "certstore" in rows["packages"].found or "certstore" in rows["securesocket"].found


def test_without_an_optional_package(folder, monkeypatch):
    path = modules(folder, monkeypatch)
    (path / "securesocket" / "clock.py").unlink()
    store(folder, pki.root)
    rows = examined("unix")
    assert rows["packages"].status == WARNING and "without securesocket-clock" in rows["packages"].found
    others_are_fine(rows, "packages")


def test_without_the_budget(folder, monkeypatch):
    path = modules(folder, monkeypatch)
    (path / "securesocket" / "budget.py").unlink()
    store(folder, pki.root)
    rows = examined("unix")
    assert rows["handshakes"].status == WARNING and "securesocket-budget" in rows["handshakes"].found
    others_are_fine(rows, "handshakes", "packages")


def test_another_version(folder, monkeypatch):
    path = modules(folder, monkeypatch) / "securesocket" / "__init__.py"
    path.write_text(path.read_text().replace('__version__ = "', '__version__ = "9.'))
    store(folder, pki.root)
    rows = examined("unix")
    assert rows["securesocket"].status == WARNING and rows["securesocket"].found.startswith("9.0.1.0 in ")
    others_are_fine(rows, "securesocket")


def test_a_module_that_is_broken(folder, monkeypatch):
    (modules(folder, monkeypatch) / "securesocket" / "clock.py").write_text("def :\n")
    store(folder, pki.root)
    rows = examined("unix", status=1)
    assert rows["packages"].found.startswith("SyntaxError") and rows["packages"].remedy == "make build"
    others_are_fine(rows, "packages")


# ---- memory


def test_a_heap_that_is_too_small():
    rows = examined("unix", "--heap", 40 * 1024, status=1)
    assert rows["handshakes"].status == PROBLEM
    assert "found " in rows["handshakes"].found and "gc.collect()" in rows["handshakes"].remedy


def test_a_heap_that_holds_one_handshake():
    rows = examined("unix", "--heap", 88 * 1024)
    assert rows["handshakes"].status == OK and "one at a time fits" in rows["handshakes"].found


def test_a_heap_that_does_not_hold_the_question():
    said, trouble = answer("doctor", "unix", "--heap", 8192, status=2)
    assert said == "" and "MemoryError" in trouble and "expected room for it" in trouble


# ---- clock and store


def test_a_clock_that_was_never_set(clock):  # noqa: F811
    env = clock(datetime(2021, 1, 1, tzinfo=UTC))
    rows = in_environment(env, status=1)
    assert rows["clock"].found.startswith("not set: 2021-01-01 00:00:")
    assert "securesocket.set_clock()" in rows["clock"].remedy
    others_are_fine(rows, "clock")


@pytest.mark.parametrize(("off", "text"), [(3 * DAY, "3 days ahead of"), (-3 * DAY, "3 days behind")])
def test_a_clock_that_is_off(clock, folder, off, text):  # noqa: F811
    rows = in_environment(clock(datetime.now(UTC) + off + timedelta(minutes=1 if off > off * 0 else -1)))
    assert rows["clock"].status == WARNING and text in rows["clock"].found
    others_are_fine(rows, "clock")


def in_environment(env, *words, status=0):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        # libfaketime is of 64 bits.
        return examined("unix", *words, "--micropython", binary("stock"), status=status)


def test_without_a_store(folder, monkeypatch):
    modules(folder, monkeypatch)
    rows = examined("unix", status=1)
    assert rows["store"].found.startswith("ConfigurationError: ") and "roots.bin" in rows["store"].found
    others_are_fine(rows, "store")


@pytest.mark.parametrize("at", [0, 20, 200, -1])
def test_a_store_that_is_damaged(folder, at):
    data = bytearray(store(folder, pki.root))
    data[at] ^= 1
    (folder / "roots.bin").write_bytes(data)
    rows = examined("unix", status=1)
    assert rows["store"].found.startswith("CorruptStore: ") and rows["store"].remedy
    others_are_fine(rows, "store")


def test_a_store_that_is_cut_off(folder):
    data = store(folder, pki.root)
    (folder / "roots.bin").write_bytes(data[:-10])
    assert examined("unix", status=1)["store"].found.startswith("CorruptStore: ")


def test_an_old_store(folder):
    store(folder, pki.root, build_time=int((NOW - 2 * YEAR).timestamp()))
    rows = examined("unix")
    assert rows["store"].status == WARNING and "more than a year ago" in rows["store"].found
    others_are_fine(rows, "store")


def test_changes_on_top_of_a_store(folder):
    store(folder, pki.root)
    (folder / "change.py").write_text(
        f"import securesocket\nsecuresocket.default_store().add({pki.stranger.der!r})\n"
    )
    assert os.spawnl(os.P_WAIT, binary("stock"), "micropython", str(folder / "change.py")) == 0
    rows = examined("unix")
    assert "2 roots, " in rows["store"].found
    assert "1 changes on top in roots-changes.bin" in rows["store"].found
    others_are_fine(rows)


def test_roots_that_end(folder):
    root = {
        name: make(name, ca=True, not_before=NOW - 3 * YEAR, not_after=NOW + days * DAY)
        for name, days in (("Past", -1), ("Soon", 89), ("Later", 91))
    }
    store(folder, root["Later"])
    rows = examined("unix")
    assert rows["roots"].found.startswith("the first that ends: CN=Later until ")
    others_are_fine(rows)
    store(folder, root["Later"], root["Soon"])
    rows = examined("unix")
    assert rows["roots"].status == WARNING
    assert rows["roots"].found.startswith("1 of 2 end within 90 days: CN=Soon until ")
    store(folder, *root.values())
    rows = examined("unix")
    assert rows["roots"].status == WARNING and rows["roots"].found.startswith("1 of 3 expired")
    store(folder, root["Past"])
    assert examined("unix", status=1)["roots"].status == PROBLEM


# ---- what a script has to stand in for


def test_a_random_source_that_repeats_itself(folder):
    (folder / "os.py").write_text("from uos import *\ndef urandom(n): return bytes(n)\n")
    rows = examined("unix", status=1)
    assert rows["random source"].found.startswith("EntropyError: ")
    others_are_fine(rows, "random source")


WLAN = """
STA_IF = 0
class WLAN:
    def __init__(self, kind): pass
    def active(self): return {active}
    def isconnected(self): return {connected}
    def ifconfig(self): return ("192.168.4.2", "", "", "")
    def status(self, what): return {rssi}
class PPP:
    def isconnected(self): return True
    def ifconfig(self): return ("10.0.2.15", "", "", "")
"""
# (active, connected, RSSI, status, what is found)
STATIONS = (
    (False, False, 0, WARNING, "off"),
    (True, False, 0, WARNING, "not connected"),
    (True, True, -81, WARNING, "connected, 192.168.4.2, -81 dBm: weak"),
    (True, True, -80, OK, "connected, 192.168.4.2, -80 dBm"),
)


@pytest.mark.parametrize(("active", "connected", "rssi", "status", "found"), STATIONS)
def test_wifi(folder, active, connected, rssi, status, found):
    """The Unix port has no module network: one of this name stands in for it."""
    (folder / "network.py").write_text(WLAN.format(active=active, connected=connected, rssi=rssi))
    rows = examined("unix")
    assert (rows["Wi-Fi"].status, rows["Wi-Fi"].found) == (status, found)
    assert (rows["Wi-Fi"].remedy is None) == (status == OK)
    others_are_fine(rows, "Wi-Fi")


# ---- connections


def test_a_server_that_is_trusted(folder, server):
    store(folder, pki.root)
    rows = examined("unix", f"localhost:{server.port}")
    others_are_fine(rows)
    assert list(rows)[-6:] == ["DNS", "TCP", "handshake", "chain", "anchor", "heap then"]
    assert "TLS-ECDHE-ECDSA" in rows["handshake"].found and "TLSv1.2" in rows["handshake"].found
    assert rows["chain"].found == "CN=localhost ← CN=Test Intermediate ← CN=Test Root"
    assert rows["anchor"].found == "CN=Test Root, from the store"


def test_a_server_that_is_not_trusted(server):
    rows = examined("unix", f"localhost:{server.port}", status=1)
    assert rows["handshake"].found.startswith("UnknownIssuer: ") and "Test Root" in rows["handshake"].found
    assert "SHA-256" in rows["handshake"].remedy
    others_are_fine(rows, "handshake")


def test_a_server_of_another_name(folder):
    server = PythonServer(folder, pki.chain(hosts=("example.com",)))
    store(folder, pki.root)
    rows = examined("unix", f"localhost:{server.port}", status=1)
    server.stop()
    assert (
        rows["handshake"].found.startswith("HostnameMismatch: ") and "example.com" in rows["handshake"].found
    )


def test_a_certificate_that_has_expired(folder):
    server = PythonServer(folder, pki.chain(not_after=NOW - DAY))
    store(folder, pki.root)
    rows = examined("unix", f"localhost:{server.port}", status=1)
    server.stop()
    assert rows["handshake"].found.startswith("Expired: ")


def test_a_server_without_tls():
    server = RawServer(says(b"HTTP/1.0 400 Bad Request\r\n\r\n"))
    rows = examined("unix", f"localhost:{server.port}", status=1)
    server.stop()
    assert rows["TCP"].status == OK and rows["handshake"].status == PROBLEM
    others_are_fine(rows, "handshake")


def test_a_port_that_nobody_listens_on():
    rows = examined("unix", f"127.0.0.1:{free_port()}", status=1)
    assert rows["DNS"].status == OK and "ECONNREFUSED" in rows["TCP"].found and "handshake" not in rows
    others_are_fine(rows, "TCP")


def test_a_host_that_does_not_exist():
    rows = examined("unix", "nothing.invalid:443", status=1)
    assert rows["DNS"].status == PROBLEM and "TCP" not in rows
    others_are_fine(rows, "DNS")


def test_a_connection_without_securesocket(folder, monkeypatch, server):
    """What stands below is still examined."""
    monkeypatch.setenv("MICROPYPATH", str(folder))
    rows = examined("unix", f"localhost:{server.port}", status=1)
    assert rows["TCP"].status == OK
    assert rows["handshake"].found.startswith("ImportError: ") and rows["handshake"].remedy == "make build"


# ---- boards


@pytest.fixture
def board(folder):
    made = Board(folder, path=["", ".frozen", "/lib"])
    yield made
    made.close()


def test_a_board(board, server):
    board.put("/roots.bin", anchors.build([pki.root.der], BUILD_TIME))
    rows = examined(board.port, f"localhost:{server.port}")
    others_are_fine(rows)
    assert rows["store"].found.startswith("1 roots, ") and " in roots.bin" in rows["store"].found
    assert rows["anchor"].found == "CN=Test Root, from the store"


def test_a_board_without_anything(folder):
    board = Board(folder)
    rows = examined(board.port, status=1)
    board.close()
    assert rows["securesocket"].remedy == f"securesocket deploy {board.port}"
    others_are_fine(rows, "securesocket")


def test_remedies_of_a_board_name_its_port(board):
    board.put("/roots.bin", b"something")
    rows = examined(board.port, status=1)
    assert f"securesocket deploy {board.port} --store roots.bin" in rows["store"].remedy


def test_a_board_that_is_lost(board):
    board.lost_at = "ask("
    said, trouble = answer("doctor", board.port, status=2)
    assert said == "" and "the connection to the board was lost" in trouble


def test_a_board_that_answers_something_else(board):
    board.damage = ("print('@@', repr(row))", "print('@@', 'what?')")
    said, trouble = answer("doctor", board.port, status=2)
    assert said == "" and "expected a tuple" in trouble


@pytest.mark.xdist_group("emulator")
def test_an_emulated_pico():
    rows = examined("emulator")
    # Its randomness is the same at each start, and its boot.py says so.
    others_are_fine(rows, "random source")
    assert rows["random source"].status == WARNING
    assert "RP2040" in rows["MicroPython"].found
    assert rows["PPP"].found == "connected, 10.0.2.15"
    assert rows["store"].found.startswith("117 roots, ") and "in the firmware" in rows["store"].found


# ---- what cannot be examined


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("unix", "--micropython", "nowhere"), "remedy: make build, in a checkout, or --micropython PATH"),
        (("unix", "--micropython", "/etc/hostname"), "expected MicroPython's Unix port"),
        (("unix", "--micropython", "/bin/true"), "the device's program did not end"),
        (("/dev/ttyNONE",), "/dev/ttyNONE: no such port"),
        (("/dev/ttyNONE", "--heap", "65536"), "--heap: found target /dev/ttyNONE, expected unix"),
        (("emulator", "--micropython", "x"), "--micropython: found target emulator, expected unix"),
        (("unix", "example.com:0"), "expected HOST:PORT"),
        (("unix", "https://example.com"), "expected HOST:PORT"),
    ],
)
def test_what_cannot_be_examined(words, found):
    said, trouble = answer("doctor", *words, status=2)
    assert said == "" and trouble.startswith("securesocket: ") and found in trouble


# ---- what is judged, of facts that no build here has


def judged(*faults, **known):
    facts = {
        "micropython": ((1, 26, 1), "x", "x"),
        "heap": (200_000, 220_000),
        "clock": 1_800_000_000,
        **known,
    }
    rows = [("fact", name, value) for name, value in facts.items()]
    for name in ("where", *faults):
        rows.append(("fault", name, {"class": "ImportError", "sentence": "no module named 'securesocket'"}))
    made = doctor_checks.rows(doctor_checks.Facts(rows, "install", None, 1_800_000_000, "0.1.0"))
    return {row.check: row for row in made}


@pytest.mark.parametrize(
    ("version", "status"),
    [((1, 24, 9), PROBLEM), ((1, 25, 0), OK), ((1, 29, 9), OK), ((1, 30, 0), WARNING), ((2, 0, 0), WARNING)],
)
def test_versions_of_micropython(version, status):
    assert judged(micropython=(version, "x", "x"))["MicroPython"].status == status


@pytest.mark.parametrize(
    ("text", "status"),
    [("Mbed TLS 3.6.2", WARNING), ("Mbed TLS 3.6.3", OK), ("Mbed TLS 4.0.0", OK), ("?", OK), (None, OK)],
)
def test_versions_of_mbedtls(text, status):
    assert judged(mbedtls=text)["mbedTLS"].status == status


def test_a_firmware_without_tls():
    row = judged("mbedtls")["mbedTLS"]
    assert (row.status, row.found) == (PROBLEM, "this firmware has no module tls")
    assert "securesocket flash" in row.remedy


@pytest.mark.parametrize(("free", "status"), [(29_999, PROBLEM), (30_000, OK)])
def test_a_heap_without_a_budget(free, status):
    assert judged(heap=(free, 220_000))["heap"].status == status


def test_the_heap_of_an_esp32():
    rows = judged(heap=(29_999, 60_000), c_heap=(150_000, 110_000, 90_000))
    assert rows["heap"].status == OK
    assert "C: 150,000 free, largest block 110,000, lowest ever 90,000" in rows["heap"].found


def test_a_c_heap_that_tells_nothing():
    row = judged(budget=("C", (31_920, 16_736, -1, -1, True)))["heap"]
    assert row.status == OK and "of which this firmware tells nothing" in row.found


def test_no_interface_at_all():
    assert judged(network=[])["network"].status == WARNING


def test_documentation_has_each_row():
    page = (ROOT / "docs" / "doctor.md").read_text()
    titles = " ".join(re.findall(r"^\| ([^|]+) \|", page, re.M))
    code = (ROOT / "tools" / "securesocket_cli" / "doctor_checks.py").read_text()
    names = re.findall(r'(?:Row|fault_row)\(\s*"([^"]+)"', code)
    assert len(set(names)) > 14
    for name in [*names, "Wi-Fi", "LAN", "PPP", "WIZNET5K"]:
        assert name in titles
