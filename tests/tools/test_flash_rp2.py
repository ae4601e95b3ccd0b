"""The command `securesocket flash` for a Pico: a folder in the place of its boot loader's drive, and the Unix
port in the place of the board."""

import shutil
import threading
import time

import pytest

from plugins.command import answer, run
from plugins.uf2 import FACTS, RP2350, VERSION, content, image
from securesocket_cli import flash_boards, flash_commands, flash_drive
from securesocket_cli.errors import CommandError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A table with two boards, and a firmware for the first where `make firmware` puts it."""
    rows = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value!r}\n" for key, value in facts.items())
        for name, facts in (("PICO", FACTS), ("PICO2", RP2350))
    )
    (tmp_path / "boards.toml").write_text(rows + "[PICO.variants.MORE]\n")
    monkeypatch.setattr(flash_boards, "TABLE", tmp_path / "boards.toml")
    monkeypatch.setattr(flash_boards, "_FIRMWARE", tmp_path / "firmware")
    (tmp_path / "firmware" / "PICO").mkdir(parents=True)
    (tmp_path / "firmware" / "PICO" / "firmware.uf2").write_bytes(image())
    (tmp_path / "firmware" / "PICO" / "firmware.bin").write_bytes(content())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flash_drive, "LEAVE_S", 1)
    return tmp_path


SAID = f"3.4.0; {VERSION.decode()}"


class BootLoader:
    """A drive: it takes what is copied to it, and is gone when it has all blocks."""

    def __init__(self, folder, board_id="RPI-RP2", takes=True):
        self.folder, self.got = folder, None
        folder.mkdir()
        (folder / "INFO_UF2.TXT").write_text(
            f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {board_id}\n"
        )
        if takes:
            threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        path = self.folder / "firmware.uf2"
        for _ in range(500):
            if path.exists() and path.stat().st_size == len(image()):
                self.got = path.read_bytes()
                shutil.rmtree(self.folder)
                return
            time.sleep(0.02)


@pytest.fixture
def drive(here, monkeypatch):
    """A function that plugs drives in."""
    mounted = []
    monkeypatch.setattr(flash_drive, "mounted", lambda: mounted)

    def plug(name="drive", **how):
        loader = BootLoader(here / name, **how)
        mounted.append(str(here / name))
        return loader

    return plug


def test_an_image_is_copied_and_the_board_restarts(drive, here):
    loader = drive()
    text = run("flash", "PICO")
    assert loader.got == image()
    assert text.splitlines()[-1] == f"{here / 'drive'}: {len(image())} bytes, and the board has restarted"


def test_a_dry_run_touches_no_drive(drive, here):
    drive(takes=False)
    text = run("flash", "PICO", "--dry-run")
    assert [line.split() for line in text.splitlines()[:2]] == [
        ["from", "to", "bytes", "part"],
        ["0x10000000", "0x10001000", "4096", "application"],
    ]
    assert text.endswith("would copy it to the drive RPI-RP2; nothing was written\n")
    assert sorted(path.name for path in (here / "drive").iterdir()) == ["INFO_UF2.TXT"]


def test_an_image_by_name(drive, here):
    (here / "other.uf2").write_bytes(image())
    shutil.rmtree(here / "firmware")
    loader = drive()
    run("flash", "PICO", "--image", "other.uf2")
    assert loader.got == image()


def test_no_image(here):
    (here / "firmware" / "PICO" / "firmware.uf2").unlink()
    assert "no such file; remedy: make firmware BOARD=PICO, or --image FILE" in run("flash", "PICO", status=1)
    assert "firmware.uf2: no such file" in run("flash", "PICO-MORE", status=1)


@pytest.mark.parametrize("name", ["NONE", "PICO-LESS", ""])
def test_no_such_board(name):
    assert "there are PICO, PICO2" in run("flash", name, status=1)


@pytest.mark.parametrize("cut", [0, 512, 1000, 4096])
def test_a_truncated_image_is_not_copied(drive, here, cut):
    drive(takes=False)
    (here / "short.uf2").write_bytes(image()[:cut])
    run("flash", "PICO", "--image", "short.uf2", status=1)
    assert sorted(path.name for path in (here / "drive").iterdir()) == ["INFO_UF2.TXT"]


def test_an_image_of_another_chip_is_not_copied(drive, here):
    drive(takes=False)
    (here / "other.uf2").write_bytes(image(family=RP2350["family"]))
    assert "it is for another chip" in run("flash", "PICO", "--image", "other.uf2", status=1)
    assert not (here / "drive" / "firmware.uf2").exists()


def test_a_drive_of_another_chip(drive):
    drive(board_id="RP2350", takes=False)
    text = answer("flash", "PICO", status=1)[1]
    assert "found a board whose Board-ID is RP2350, expected RPI-RP2: it has another chip" in text


def test_several_drives(drive):
    drive("one", takes=False)
    drive("two", takes=False)
    text = answer("flash", "PICO", status=1)[1]
    assert "found 2 boards (" in text and "/one, " in text and "/two)" in text


def test_no_drive(drive):
    text = answer("flash", "PICO", status=1)[1]
    assert "found no drive of a RP2040 in its boot loader" in text and "hold BOOTSEL" in text


def test_a_drive_that_stays(drive, monkeypatch):
    monkeypatch.setattr(flash_commands.flash_drive.gone, "__defaults__", (0.5,))
    drive(takes=False)
    assert "found the boot loader still there" in answer("flash", "PICO", status=1)[1]


def test_a_drive_that_goes_away_half_way(here):
    """The file system is gone with it: here the folder, of which every piece is a new file."""
    loader = BootLoader(here / "drive", takes=False)
    found = flash_drive.drives([str(loader.folder)])[0]
    shutil.rmtree(loader.folder)
    with pytest.raises(CommandError) as caught:
        flash_drive.copy(found, image(), lambda count: None)
    assert f"after 0 of {len(image())} bytes" in caught.value.message
    assert "hold BOOTSEL" in caught.value.message


def test_a_full_drive(here):
    """A device that takes nothing, in the place of the drive's file."""
    loader = BootLoader(here / "drive", takes=False)
    (loader.folder / "firmware.uf2").symlink_to("/dev/full")
    with pytest.raises(CommandError, match="No space left on device after 0 of"):
        flash_drive.copy(flash_drive.drives([loader.folder])[0], image(), lambda count: None)


def test_a_drive_is_waited_for(here):
    looks = [[], [], [str(here / "drive")]]
    BootLoader(here / "drive", takes=False)
    found = flash_drive.wait("rp2040", lambda: looks.pop(0) if len(looks) > 1 else looks[0], 5)
    assert found.path == here / "drive"


# ---- with a port


class Mpremote:
    """What mpremote says of a board that cannot be had here: its chip, its boot loader, its version."""

    def __init__(self, machine, version, plug=None):
        self.machine, self.version, self.plug = machine, version, plug
        self.words = []

    def __call__(self, words, **_):
        self.words.append(words[2:])
        if words[2] == "bootloader":
            self.plug()
            return ""
        return (self.machine if "_machine" in words[3] else self.version) + "\n"


@pytest.fixture
def port(monkeypatch):
    def put(machine="Raspberry Pi Pico with RP2040", version=SAID, plug=None):
        said = Mpremote(machine, version, plug)
        monkeypatch.setattr(flash_commands, "mpremote", said)
        return said

    return put


def test_a_board_is_sent_to_its_boot_loader_and_its_version_checked(drive, port):
    loaders = []
    said = port(plug=lambda: loaders.append(drive()))
    text = run("flash", "PICO", "socket://127.0.0.1:1")
    assert loaders[0].got == image()
    assert said.words[1] == ["bootloader"]
    assert text.endswith(f"socket://127.0.0.1:1: runs {VERSION.decode()}\n")


def test_a_port_of_another_chip(drive, port):
    said = port("Generic ESP32 module with ESP32")
    text = answer("flash", "PICO", "socket://127.0.0.1:1", status=1)[1]
    assert "found Generic ESP32 module with ESP32, expected a board with RP2040" in text
    assert len(said.words) == 1


def test_another_version_than_that_of_the_image(drive, port):
    port(version="3.4.0; MicroPython v1.20.0 on 2023-04-26", plug=drive)
    assert "expected the version in the image" in answer("flash", "PICO", "socket://127.0.0.1:1", status=1)[1]


def test_a_dry_run_with_a_port(drive, port):
    said = port()
    text = run("flash", "PICO", "socket://127.0.0.1:1", "--dry-run")
    assert "would send socket://127.0.0.1:1 to its boot loader, copy it to" in text
    assert ["bootloader"] not in said.words


def test_a_port_that_does_not_exist(drive):
    assert "/dev/ttyNONE: no such port" in answer("flash", "PICO", "/dev/ttyNONE", status=1)[1]
