"""The emulator's own parts: what it corrects, what it sees, and each of its errors."""

import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest
from rp2040py.peripherals.uart import UARTDR, UARTIBRD, UARTICR, UARTIMSC, UARTIRIS, UARTRXINTR, UARTTXINTR
from rp2040py.rp2040 import RP2040

from emulator import HOST, heap, image, network, uart
from emulator.client import Emulator, measure
from emulator.errors import (
    CLASSES,
    EmulatorError,
    ImageError,
    MissingProgram,
    NetworkDown,
    PortInUse,
    ProtocolError,
    ScriptTimeout,
    error,
)
from emulator.repl import BANNER, FINISH, REBOOT, RawRepl
from plugins.interpreters import ROOT
from plugins.peers import free_port
from plugins.terminal import program, read_until

# Of a device that is shared, by tests of other modules too.
shared = pytest.mark.xdist_group("emulator")

# ---- the serial port

ALL_INTERRUPTS = 0x7FF
BIT_NS = 1000  # at the divisor that the fixture sets, 1 MBd


@pytest.fixture
def port():
    mcu = RP2040()
    uart.correct(mcu)
    port = mcu.uart[0]
    port.write_uint32(UARTIBRD, round(mcu.clk_peri / 16 / 1_000_000))
    port.write_uint32(UARTIMSC, ALL_INTERRUPTS)
    return port


def raised(port):
    return port.read_uint32(UARTIRIS)


def clear(port, bits):
    port.raw_write_value = bits
    port.write_uint32(UARTICR, bits)


def test_both_ports_of_a_chip_are_corrected():
    mcu = RP2040()
    uart.correct(mcu)
    assert [type(mcu.peripherals[key]) for key in (0x40034, 0x40038)] == [uart.Pl011] * 2
    assert [mcu.peripherals[0x40034], mcu.peripherals[0x40038]] == mcu.uart


def test_transmit_interrupt_stays_cleared(port):
    assert not raised(port) & UARTTXINTR
    port.write_uint32(UARTDR, 0x55)
    assert raised(port) & UARTTXINTR
    clear(port, UARTTXINTR)
    port.check_interrupts()
    assert not raised(port) & UARTTXINTR


@pytest.mark.parametrize(("select", "level"), list(enumerate(uart.RECEIVE_LEVELS)))
def test_receive_interrupt_is_of_the_level(port, select, level):
    port.write_uint32(uart.UARTIFLS, select << 3)
    for _ in range(level - 1):
        port.feed_byte(0)
    assert not raised(port) & UARTRXINTR
    port.feed_byte(0)
    assert raised(port) & UARTRXINTR
    port.read_uint32(UARTDR)
    assert not raised(port) & UARTRXINTR


def test_receive_timeout_is_32_bit_times_after_the_last_byte(port):
    clock = port.rp2040.clock
    port.feed_byte(1)
    clock.tick(20 * BIT_NS)
    port.feed_byte(2)
    clock.tick(31 * BIT_NS)
    assert not raised(port) & uart.UARTRTINTR
    clock.tick(2 * BIT_NS)
    assert raised(port) & uart.UARTRTINTR
    assert [port.read_uint32(UARTDR), port.read_uint32(UARTDR)] == [1, 2]
    assert not raised(port) & uart.UARTRTINTR


def test_receive_timeout_needs_a_byte(port):
    port.feed_byte(1)
    port.read_uint32(UARTDR)
    port.rp2040.clock.tick(100 * BIT_NS)
    assert not raised(port) & uart.UARTRTINTR


# ---- the image


def block(number=0, count=1, address=image.FLASH_START, family=image.RP2040, magic=image.MAGIC[0], size=256):
    head = struct.pack("<8I", magic, image.MAGIC[1], image.HAS_FAMILY, address, size, number, count, family)
    return head + bytes(476) + struct.pack("<I", image.MAGIC_END)


IMAGES = (
    ("empty", b"", "whole blocks"),
    ("cut off in a block", block()[:-1], "511 bytes"),
    ("cut off after a block", block(count=2), "1 blocks of 2"),
    ("a block twice", block(count=2) * 2, "1 different blocks of 2"),
    ("no UF2", block(magic=0), "not a block of a UF2"),
    ("of an RP2350", block(family=0xE48BFF59), "0xe48bff59, expected 0xe48bff56"),
    ("before the flash", block(address=image.FLASH_START - 1), "outside the flash"),
    ("behind the flash", block(address=image.FLASH_START + image.FLASH_BYTES - 255), "outside the flash"),
)


@pytest.mark.parametrize(("what", "data", "found"), IMAGES, ids=[row[0] for row in IMAGES])
def test_bad_image_is_refused(tmp_path, what, data, found):
    path = tmp_path / "firmware.uf2"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=found) as caught:
        image.check(path)
    assert "make firmware" in str(caught.value)


def test_whole_image_is_taken(tmp_path):
    path = tmp_path / "firmware.uf2"
    last = image.FLASH_START + image.FLASH_BYTES - 256
    path.write_bytes(block(0, 2) + block(1, 2, address=last))
    image.check(path)


def test_missing_image_is_told_by_the_process(tmp_path):
    with pytest.raises(ImageError, match="no such file; run `make firmware BOARD=PICO_SECURE`"):
        Emulator(tmp_path / "firmware.uf2")


def test_missing_elf_is_told_by_the_process(tmp_path):
    with pytest.raises(ImageError, match=r"firmware.elf: no such file"):
        Emulator(elf=tmp_path / "firmware.elf")


def test_port_that_is_taken_is_told():
    with socket.create_server((HOST, 0)) as taken, pytest.raises(PortInUse, match="in use; choose another"):
        Emulator(repl_port=taken.getsockname()[1])


def test_network_that_does_not_come_up_is_told(monkeypatch, tmp_path):
    """What a computer does that forbids the name space, or where slirp ends at once for another reason."""
    program = tmp_path / "slirp-fullbolt"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NetworkDown, match="exit status of slirp-fullbolt: 3"):
        Emulator()


@pytest.mark.parametrize("path", [sys.executable, shutil.which("true"), __file__])
def test_elf_of_another_program_is_refused(path):
    with pytest.raises(ImageError, match="__GcHeapStart"):
        heap.Heap(bytearray(264 * 1024), path)


def test_missing_program_is_told_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match=r"missing: .*slirp.* Install with: apt-get install"):
        network.command()


def test_command_line_tells_an_error_in_one_line(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT / "tools"), "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "emulator"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("securesocket: missing: slirp") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("code", [*CLASSES, "another"])
def test_error_keeps_its_class_between_processes(code):
    told = error(code, "text")
    assert isinstance(told, EmulatorError) and str(told) == "text"
    assert type(told) is CLASSES.get(code, EmulatorError)


# ---- the raw REPL

SAID = (
    b">>> \r\n"
    + BANNER
    + b"OK\r\nMPY: "
    + REBOOT
    + BANNER
    + b"OKone\r\ntwo"
    + FINISH
    + b"Traceback"
    + FINISH
    + b">"
)


@pytest.mark.parametrize("size", [1, 7, len(SAID)])
def test_script_s_output_is_told_apart(size):
    protocol = RawRepl(b"print()")
    events = protocol.start()
    for at in range(0, len(SAID), size):
        events += protocol.receive(SAID[at : at + size])
    said = {name: b"".join(data for event, data in events if event == name) for name in ("output", "error")}
    assert said == {"output": b"one\r\ntwo", "error": b"Traceback"}
    assert [data for event, data in events if event == "send"][1:] == [FINISH, b"print()" + FINISH]
    assert events[-1] == ("done", b"")


def test_banner_for_someone_else_is_passed_over():
    protocol = RawRepl(b"print()", reset=False)
    events = protocol.receive(BANNER + BANNER[:5]) + protocol.receive(BANNER[5:] + b"OKx" + FINISH + FINISH)
    assert [data for event, data in events if event == "output"] == [b"x"]
    assert events[-1] == ("done", b"")


def test_script_that_is_not_taken_is_told():
    protocol = RawRepl(b"print()", reset=False)
    with pytest.raises(ProtocolError, match="answered b'ro'"):
        protocol.receive(BANNER + b"row REPL")


# ---- on the device


@shared
def test_heap_seen_from_outside_is_that_seen_from_inside(pico):
    script = """
import gc
gc.collect()
def inside():
    MARK.on()
    there = gc.mem_alloc()
    block = bytearray(20_000)
    block = None
    gc.collect()
    MARK.off()
    return there
print(inside(), gc.mem_free())
"""
    done = measure(pico, script)
    (window,) = done["windows"]
    there = int(done["stdout"].split()[0])
    assert abs(window["heap_before_bytes"] - there) <= 64
    assert 20_000 <= window["heap_peak_bytes"] - there <= 20_300
    assert window["heap_after_bytes"] <= there + 300
    assert 20_000 <= window["largest_free_bytes"] <= 230_000


@shared
def test_time_of_a_window_is_the_device_s(pico):
    (window,) = measure(pico, "import time\nMARK.on()\ntime.sleep_ms(50)\nMARK.off()")["windows"]
    # The device counts whole milliseconds.
    assert 49 <= window["emulated_ms"] < 52


@shared
def test_measured_script_that_fails_or_marks_nothing_is_told(pico):
    with pytest.raises(ProtocolError, match="ZeroDivisionError"):
        measure(pico, "1 / 0")
    with pytest.raises(ProtocolError, match="no window"):
        measure(pico, "pass")


@shared
def test_script_tells_output_error_and_status(pico):
    done = pico.run("print('Grüße', NAME)\nraise ValueError(NAME)", params={"NAME": "x"})
    assert (done["stdout"], done["status"]) == ("Grüße x\n", 1)
    assert done["stderr"].endswith("ValueError: x\n")


@shared
def test_script_that_does_not_end_is_interrupted(pico):
    with pytest.raises(ScriptTimeout, match="50 ms of emulated time"):
        pico.run("while True: pass", timeout_ms=50)
    assert pico.run("print(1)")["stdout"] == "1\n"


@shared
def test_script_that_is_left_is_interrupted(pico):
    script = pico.start("import time\nprint('there')\nwhile True: time.sleep_ms(10)")
    assert next(iter(script)) == ("output", "there")
    script.stop()
    assert pico.run("print(1)")["stdout"] == "1\n"


CONNECT = """
assert "kept" not in globals()
kept = 1
import socket
connection = socket.socket()
connection.connect(socket.getaddrinfo("localhost", PORT)[0][-1])
connection.write(b"from the device")
print(connection.read(2))
"""


@shared
def test_reset_frees_everything_and_brings_the_network_back(pico):
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(60)
        for _ in range(2):
            script = pico.start(CONNECT, params={"PORT": listener.getsockname()[1]})
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100) == b"from the device"
                connection.sendall(b"ok")
                assert script.result()["stdout"] == "b'ok'\n"


@shared
def test_soft_reset_at_the_prompt_brings_the_network_back(pico):
    with socket.create_connection((HOST, pico.repl_port)) as repl:
        repl.settimeout(120)
        for keys, mark in ((b"\r\x03\x02", b">>> "), (b"kept = 1\r\x04", b"soft reboot\r\n"), (b"", b">>> ")):
            repl.sendall(keys)
            said = b""
            while mark not in said:
                said += repl.recv(4096)
        assert b"MicroPython" in said
    script = "import emulated; print('kept' in globals(), emulated.ppp.ifconfig()[0])"
    assert pico.run(script, reset=False)["stdout"] == "False 10.0.2.15\n"


def command(module, *words):
    words = [sys.executable, "-m", module, *words]
    return subprocess.run(words, cwd=ROOT / "tools", capture_output=True, text=True, timeout=120)


@shared
def test_mpremote_runs_a_command_after_its_soft_reset(pico):
    """Twice: the second one finds the REPL as the first has left it."""
    for _ in range(2):
        where = f"socket://{HOST}:{pico.repl_port}"
        done = command(
            "mpremote", "connect", where, "exec", "import securesocket; securesocket.help(); print(emulated)"
        )
        assert done.returncode == 0, done
        assert "Connect\n" in done.stdout and "module 'emulated'" in done.stdout


@shared
def test_deploy_recognises_the_board(pico):
    done = command("securesocket_cli", "deploy", f"socket://{HOST}:{pico.repl_port}", "--dry-run")
    assert "Raspberry Pi Pico, securesocket with RP2040" in done.stdout, done
    assert done.returncode == 1 and "frozen in this firmware" in done.stderr


def test_terminal_of_make_emulate_types_at_the_repl():
    with program("emulator", "--port", str(free_port())) as (process, terminal):
        assert b"socket://" in read_until(terminal, b"Ctrl-] ends it")
        read_until(terminal, b">>> ", b"\r")
        read_until(terminal, b"\n42\r", b"print(6 * 7)\r")
        os.write(terminal, b"\x1d")
        assert process.wait(20) == 0


@shared
def test_client_is_not_bound_by_the_number_of_open_files(pico):
    """select() fails from descriptor 1024 on; a long session of tests has more."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert pico.run("print(1)", reset=False)["stdout"] == "1\n"
    finally:
        for one in held:
            os.close(one)
