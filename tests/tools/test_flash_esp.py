"""ESP32 images: what must not be flashed is refused before esptool runs. The images are esptool's own."""

import hashlib
import io
import struct

import pytest
from esptool.bin_image import ESP32C3FirmwareImage, ESP32FirmwareImage, ImageSegment

from plugins.command import answer, run
from securesocket_cli import flash_boards, flash_commands, flash_esp
from securesocket_cli.errors import CommandError

FACTS = {"port": "esp32", "chip": "esp32", "artifact": "firmware.bin", "flash_bytes": 0x400000}
C3 = FACTS | {"chip": "esp32c3"}
ROWS = (
    ("nvs", 1, 2, 0x9000, 0x6000),
    ("phy_init", 1, 1, 0xF000, 0x1000),
    ("factory", 0, 0, 0x10000, 0x1D0000),
    ("romfs", 1, 0x8F, 0x1E0000, 0x20000),
)
KINDS = {"esp32": (ESP32FirmwareImage, 0x1000), "esp32c3": (ESP32C3FirmwareImage, 0)}


def table(rows=ROWS):
    entries = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, address, size, name.encode(), 0)
        for name, kind, subtype, address, size in rows
    )
    md5 = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries, usedforsecurity=False).digest()
    return (entries + md5).ljust(0xC00, b"\xff")


def code(chip, size):
    made = KINDS[chip][0]()
    made.segments = [ImageSegment(0x40080000, bytes(at % 251 for at in range(size)))]
    made.entrypoint = 0x40080000
    made.chip_id = {"esp32": 0, "esp32c3": 5}[chip]
    stream = io.BytesIO()
    made.write_common_header(stream, made.segments)
    made.save_extended_header(stream)
    checksum = made.save_segment(stream, made.segments[0], 0xEF)
    made.append_checksum(stream, checksum)
    return stream.getvalue() + hashlib.sha256(stream.getvalue()).digest()


def firmware(chip="esp32", rows=ROWS, size=5000, boot=2000, more=b""):
    base = KINDS[chip][1]
    data = code(chip, boot).ljust(0x8000 - base, b"\xff") + table(rows)
    return data.ljust(0x10000 - base, b"\xff") + code(chip, size) + more


def refused(data, facts=FACTS):
    with pytest.raises(CommandError) as caught:
        flash_esp.check(data, facts)
    return caught.value.message


@pytest.mark.parametrize("facts", [FACTS, C3], ids=["esp32", "esp32c3"])
def test_three_parts_and_nothing_between_them(facts):
    chip = facts["chip"]
    parts = flash_esp.check(firmware(chip), facts)
    assert [(part.name, part.address, part.data) for part in parts] == [
        ("boot loader", KINDS[chip][1], code(chip, 2000)),
        ("partition table", 0x8000, table()),
        ("application", 0x10000, code(chip, 5000)),
    ]


def test_another_chip():
    assert "found chip number 5, expected 0, that of the esp32" in refused(
        code("esp32c3", 2000).ljust(0x7000, b"\xff") + firmware()[0x7000:]
    )


@pytest.mark.parametrize(
    "at", [0, 10, 30, 1000, 0x6FFF, 0x7010, 0x70C0, 0xEFFF, 0xF000, 0xF010, 0xF800, -33, -1]
)
def test_truncated(at):
    text = refused(firmware()[:at])
    assert "truncated" in text


@pytest.mark.parametrize("at", [*range(0, 30), 500, 2030, 2060])
@pytest.mark.parametrize("start", [0, 0xF000], ids=["boot loader", "application"])
def test_a_flipped_bit_in_code(start, at):
    data = bytearray(firmware())
    data[start + at] ^= 0x10
    refused(bytes(data))


@pytest.mark.parametrize("at", [*range(0, 4 * 32, 5), 4 * 32, 4 * 32 + 16, 5 * 32 - 1])
def test_a_flipped_bit_in_the_table(at):
    data = bytearray(firmware())
    data[0x7000 + at] ^= 1
    refused(bytes(data))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ROWS[:2] + ROWS[3:], "found no application"),
        (
            (*ROWS, ("vfs", 1, 0x81, 0x1F0000, 0x10000)),
            "found partition vfs at 0x1f0000, expected it at 0x200000",
        ),
        ((*ROWS, ("vfs", 1, 0x81, 0x200000, 0x300000)), "up to 0x500000, expected at most 0x400000"),
        ((("nvs", 1, 2, 0x8000, 0x6000), *ROWS[2:]), "partition table is there"),
        ((("factory", 0, 0, 0x10000, 0x1000),), "expected at most 4096, its partition factory"),
    ],
)
def test_partitions(rows, says):
    assert says in refused(firmware(rows=rows))


def test_the_application_fills_its_partition():
    size = len(code("esp32", 8000))
    rows = (("factory", 0, 0, 0x10000, size),)
    flash_esp.check(firmware(rows=rows, size=8000), FACTS)
    assert "expected at most" in refused(firmware(rows=(("factory", 0, 0, 0x10000, size - 1),), size=8000))


def test_what_follows_the_application():
    assert "found 3 bytes behind the application" in refused(firmware(more=b"abc"))
    flash_esp.check(firmware(more=b"\xff" * 100), FACTS)


# ---- what the board has


def test_the_same_partitions_lose_nothing():
    flash_commands.refuse_moved(flash_esp.read_table(table()), table())


@pytest.mark.parametrize("blank", [b"\xff" * 0xC00, bytes(0xC00)])
def test_a_board_without_a_table_loses_nothing(blank):
    flash_commands.refuse_moved(flash_esp.read_table(table()), blank)


@pytest.mark.parametrize(
    ("rows", "lost"),
    [
        ((*ROWS[:3], ("vfs", 1, 0x81, 0x200000, 0x200000)), "vfs, the file system would be lost"),
        (ROWS[:3], "the file system would be lost"),
        ((("nvs", 1, 2, 0x9000, 0x5000), *ROWS[1:]), "nvs would be lost"),
    ],
)
def test_other_partitions_on_the_board(rows, lost):
    with pytest.raises(CommandError, match=lost):
        flash_commands.refuse_moved(flash_esp.read_table(table()), table(rows))


# ---- the command


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "boards.toml").write_text(
        "[ESP]\n" + "".join(f"{key} = {value!r}\n" for key, value in FACTS.items())
    )
    monkeypatch.setattr(flash_boards, "TABLE", tmp_path / "boards.toml")
    (tmp_path / "firmware.bin").write_bytes(firmware())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def esptool(monkeypatch):
    """What esptool is asked to do; there is no chip here. found: the table that it reads."""
    seen = []

    def run(chip, port, after, words, shown=False):
        seen.append(
            (chip, port, after, words[0], [word for word in words[1:] if word.startswith(("0x", "--"))])
        )
        if words[0] == "read-flash":
            with open(words[-1], "wb") as file:
                file.write(run.found)

    run.found = b"\xff" * 0xC00
    run.seen = seen
    monkeypatch.setattr(flash_commands, "esptool", run)
    return run


WHERE = ["0x1000", "0x8000", "0x10000"]


def test_only_what_differs_is_written_and_all_is_verified(here, esptool):
    text = run("flash", "ESP", "socket://127.0.0.1:1", "--image", "firmware.bin")
    assert [row[3:] for row in esptool.seen] == [
        ("read-flash", ["0x8000", "0xc00"]),
        ("write-flash", ["--skip-flashed", *WHERE]),
        ("verify-flash", WHERE),
    ]
    assert {row[:2] for row in esptool.seen} == {("esp32", "socket://127.0.0.1:1")}
    assert esptool.seen[-1][2] == "hard-reset" and text.endswith("bytes, as they are here\n")


def test_other_partitions_are_refused_unless_told(here, esptool):
    esptool.found = table(ROWS[:3])
    words = ("flash", "ESP", "socket://127.0.0.1:1", "--image", "firmware.bin")
    assert "remedy: copy away what you need, then --repartition" in answer(*words, status=1)[1]
    assert [row[3] for row in esptool.seen] == ["read-flash"]
    run(*words, "--repartition")
    assert [row[3] for row in esptool.seen][1:] == ["write-flash", "verify-flash"]


def test_a_dry_run_runs_nothing(here, esptool):
    text = run("flash", "ESP", "--image", "firmware.bin", "--dry-run")
    assert esptool.seen == [] and text.endswith("nothing was written\n")
    assert [line.split()[0] for line in text.splitlines()[1:4]] == WHERE


def test_a_damaged_image_runs_nothing(here, esptool):
    (here / "firmware.bin").write_bytes(firmware()[:-5])
    run("flash", "ESP", "socket://127.0.0.1:1", "--image", "firmware.bin", status=1)
    assert esptool.seen == []


class Port:
    def __init__(self, device, vid):
        self.device, self.vid = device, vid


@pytest.mark.parametrize(
    ("ports", "says"),
    [
        ([], "found no serial port of an ESP32"),
        ([Port("/dev/ttyS0", None), Port("/dev/ttyACM0", 0x2E8A)], "found no serial port of an ESP32"),
        ([Port("/dev/b", 0x303A), Port("/dev/a", 0x10C4)], "found /dev/a, /dev/b, expected one port"),
    ],
)
def test_ports_that_cannot_be_chosen(monkeypatch, ports, says):
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    with pytest.raises(CommandError, match=says):
        flash_commands.esp_port()


def test_the_one_port(monkeypatch):
    ports = [Port("/dev/ttyS0", None), Port("/dev/ttyACM0", 0x303A)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    assert flash_commands.esp_port() == "/dev/ttyACM0"


def test_esptool_itself_with_a_port_that_is_not_there():
    """The real program: its last word becomes the error."""
    with pytest.raises(CommandError, match=r"esptool: .*/dev/ttyNONE"):
        flash_commands.esptool("esp32", "/dev/ttyNONE", "no-reset", ["read-mac"])
