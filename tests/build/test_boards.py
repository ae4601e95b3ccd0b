"""The boards: each is described once, its flash is divided without overlap, what is missing is said."""

import os
import re
import subprocess
import types

import pytest

import boards
import esp32
import partitions
import rp2
import rp2_source
from common import BuildError
from plugins.interpreters import ROOT

BOARDS = boards.boards()
RP2 = [name for name, facts in BOARDS.items() if facts["port"] == "rp2"]
ESP32 = [name for name, facts in BOARDS.items() if facts["port"] == "esp32"]
SECTOR_BYTES = 4096  # the unit in which these flash chips are erased

FACTS = {"description", "port", "chip", "flash_bytes", "artifact", "mpy_arch", "submodules"}
FACTS_OF_PORT = {
    "rp2": {"family", "romfs_offset", "romfs_bytes", "filesystem_offset", "filesystem_bytes"},
    "esp32": {"partitions"},
}


def folder(name):
    return ROOT / "boards" / BOARDS[name]["port"] / name


def test_every_folder_is_a_board_and_every_board_a_folder():
    folders = {path.parent.name for path in (ROOT / "boards").glob("*/*/mpconfigboard.h")}
    assert folders == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_facts_of_a_board(name):
    facts = BOARDS[name]
    assert set(facts) - {"variants"} == FACTS | FACTS_OF_PORT[facts["port"]]
    assert facts["artifact"] == {"rp2": "firmware.uf2", "esp32": "firmware.bin"}[facts["port"]]


@pytest.mark.parametrize("name", BOARDS)
def test_files_of_a_board(name):
    wanted = {"manifest.py", "mpconfigboard.cmake", "mpconfigboard.h"}
    if BOARDS[name]["port"] == "esp32":
        wanted.add("sdkconfig.board")
    assert wanted <= {path.name for path in folder(name).iterdir()}


@pytest.mark.parametrize("name", BOARDS)
def test_variants_are_those_with_a_file(name):
    files = {
        path.stem.removeprefix("mpconfigvariant_") for path in folder(name).glob("mpconfigvariant_*.cmake")
    }
    assert files == set(BOARDS[name].get("variants", ()))


def macro(name, header):
    """The value in bytes of `#define NAME (A * B)`."""
    factors = re.search(rf"^#define {name}\s+\((\d+) \* (\d+)\)$", header, re.M)
    return int(factors[1]) * int(factors[2])


@pytest.mark.parametrize("name", RP2)
def test_flash_of_an_rp2_board_is_divided_without_gap_or_overlap(name):
    """MicroPython puts the file system at the end and the ROMFS before it (ports/rp2/rp2_flash.c)."""
    facts = BOARDS[name]
    header = (folder(name) / "mpconfigboard.h").read_text()
    assert facts["romfs_bytes"] == macro("MICROPY_HW_ROMFS_BYTES", header)
    assert facts["filesystem_bytes"] == macro("MICROPY_HW_FLASH_STORAGE_BYTES", header)
    assert 0 < facts["romfs_offset"] < facts["filesystem_offset"]
    assert facts["romfs_offset"] + facts["romfs_bytes"] == facts["filesystem_offset"]
    assert facts["filesystem_offset"] + facts["filesystem_bytes"] == facts["flash_bytes"]
    for fact in FACTS_OF_PORT["rp2"] - {"family"}:
        assert facts[fact] % SECTOR_BYTES == 0


@pytest.mark.parametrize(("flash_bytes", "fits"), [(0xE0000, True), (0xE0001, False)])
def test_code_that_reaches_into_the_romfs_is_refused(flash_bytes, fits):
    board = boards.find("PICO_SECURE")
    if fits:
        rp2.check_fit(flash_bytes, board)
    else:
        with pytest.raises(BuildError, match=f"takes {flash_bytes} bytes of flash, but its ROMFS begins at"):
            rp2.check_fit(flash_bytes, board)


@pytest.mark.parametrize("name", ESP32)
def test_partition_table_of_a_board(name):
    facts = BOARDS[name]
    table = {
        p.name: p for p in partitions.parse((ROOT / facts["partitions"]).read_text(), facts["flash_bytes"])
    }
    romfs = table["romfs"]
    assert (romfs.type, romfs.subtype) == ("data", partitions.ROMFS_SUBTYPE)
    assert romfs.size >= (ROOT / "build" / "store" / "roots.bin").stat().st_size
    assert facts["flash_bytes"] - max(partition.end for partition in table.values()) >= 1024 * 1024, (
        "for the file system"
    )
    config = (folder(name) / "sdkconfig.board").read_text()
    assert f"CONFIG_ESPTOOLPY_FLASHSIZE_{facts['flash_bytes'] >> 20}MB=y" in config


# ---- names ----


@pytest.mark.parametrize("full", ["PICO_SECURE", "PICO_SECURE-W5500", "ESP32_C6_SECURE-DTLS"])
def test_board_and_variant(full):
    board = boards.find(full)
    assert board.full_name == full
    assert (board.folder / "mpconfigboard.cmake").is_file()


def test_a_variant_adds_its_submodules():
    assert boards.find("PICO_SECURE").submodules == ()
    assert boards.find("PICO_SECURE-W5500").submodules == ("lib/wiznet5k",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "BOARD=… is missing: "),
        (("BOARD=RPI_PICO",), "no board RPI_PICO: "),
        (("BOARD=PICO_SECURE-DTLS",), "no board PICO_SECURE-DTLS: "),
    ],
)
def test_no_such_board_is_one_line_with_those_there_are(words, message):
    keep = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "BOARD"))
    }
    done = subprocess.run(["make", "firmware", *words], cwd=ROOT, env=keep, capture_output=True, text=True)
    assert done.returncode == 2
    ours = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(ours) == 1 and ours[0].startswith(f"securesocket: {message}make firmware BOARD=… takes ")
    assert ours[0].endswith(", ".join(boards.names()))
    assert done.stdout == "", "nothing is built before"


# ---- what only the user has ----


def test_board_beyond_debian_needs_a_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROPYTHON_DIR", raising=False)
    board = boards.find("PICO_W_SECURE")
    with pytest.raises(BuildError) as caught:
        rp2_source.with_libraries(tmp_path, board.full_name, board.submodules)
    message = str(caught.value)
    assert message.startswith(
        "PICO_W_SECURE needs lib/cyw43-driver of MicroPython, which Debian does not have: "
    )
    assert "set MICROPYTHON_DIR to a checkout with lib/lwip" in message and "\n" not in message


def test_checkout_without_submodules_says_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROPYTHON_DIR", str(tmp_path))
    board = boards.find("PICO_W_SECURE")
    for name in rp2_source.LIBRARIES:
        sign = tmp_path / name / rp2_source.SIGNS[name]
        sign.parent.mkdir(parents=True)
        sign.touch()
    with pytest.raises(BuildError) as caught:
        rp2_source.with_libraries(tmp_path, board.full_name, board.submodules)
    assert str(caught.value).endswith(f"run `git -C {tmp_path} submodule update --init lib/cyw43-driver`")
    assert rp2_source.with_libraries(tmp_path, "PICO_SECURE", ()) == tmp_path


def test_other_system_needs_a_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROPYTHON_DIR", raising=False)
    monkeypatch.setattr(rp2_source, "is_debian", lambda: False)
    with pytest.raises(BuildError, match="is built from Debian's packages or from a checkout"):
        rp2_source.with_libraries(tmp_path, "PICO_SECURE", ())


def test_esp_idf_is_asked_for(monkeypatch, tmp_path):
    board = boards.find("ESP32_SECURE")
    monkeypatch.delenv("IDF_PATH", raising=False)
    with pytest.raises(BuildError, match=r"ESP32_SECURE needs ESP-IDF 5\.4, which Debian does not have"):
        esp32.require_idf(board)
    monkeypatch.setenv("IDF_PATH", str(tmp_path))
    with pytest.raises(BuildError, match="is not ESP-IDF"):
        esp32.require_idf(board)
    (tmp_path / "tools" / "cmake").mkdir(parents=True)
    (tmp_path / "tools" / "cmake" / "project.cmake").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"idf.py is not in PATH: run `. \S+/export.sh`"):
        esp32.require_idf(board)


def test_every_chip_of_esp32_has_a_toolchain():
    assert {BOARDS[name]["chip"] for name in ESP32} == set(esp32.TOOLCHAINS)


def test_a_changed_board_is_configured_again(monkeypatch, tmp_path):
    """CMake does not collect MicroPython's names again when mpconfigboard.h changes."""
    header = tmp_path / "boards" / "mpconfigboard.h"
    header.parent.mkdir()
    header.write_text("#define A (1)\n")
    monkeypatch.setattr(boards, "ROOT", tmp_path)
    monkeypatch.setattr(boards, "BOARDS", tmp_path / "boards")
    board = types.SimpleNamespace(full_name="ONE")
    first = boards.configuration(board)
    (tmp_path / "boards" / "README.md").write_text("text")
    assert boards.configuration(board) == first
    header.write_text("#define A (0)\n")
    assert boards.configuration(board) != first
