"""docs/first-connection.md, typed on the emulated Pico: PPP is already up, in place of Wi-Fi."""

import re
import shlex

import click
import pytest

from emulator.network import HOST_ADDRESS
from plugins.interpreters import ROOT
from plugins.peers import PythonServer, page
from plugins.pki import Pki
from plugins.time_servers import ChronyServer
from securesocket_cli.main import cli

pytestmark = pytest.mark.xdist_group("emulator")

PAGE = (ROOT / "docs" / "first-connection.md").read_text()


def blocks(language):
    """{heading above: [the text of each block]}."""
    found, heading = {}, ""
    for match in re.finditer(rf"^##+ ([^\n]+)$|^```{language}\n(.*?)^```$", PAGE, re.M | re.S):
        if match[1]:
            heading = match[1]
        else:
            found.setdefault(heading, []).append(match[2])
    return found


TYPED = blocks("python")
COMMANDS = [line for texts in blocks("sh").values() for text in texts for line in text.splitlines()]

FIRST = """
import machine
machine.RTC().datetime((2021, 1, 1, 4, 0, 0, 0, 0))
"""
TRUSTING = """
securesocket.default_store().add(ROOT_PEM)
"""
TIDY = """
import gc, os
os.remove("roots-changes.bin")
del s
gc.collect()
print("free", gc.mem_free())
"""
# Of about 220 KB: what a connection keeps is free again, and the modules are frozen.
FREE_AFTERWARDS = 160_000
UNTIL_THE_CLOCK = """
try:
    securesocket.SecureSocket("localhost", PORT)
except securesocket.ClockNotSet as error:
    print(error.remedy)
"""


def echoed(text):
    """A block as the REPL runs it: the value of a lone expression is shown."""
    return re.sub(r"^((?!print)[\w.]+\([^=\n]*\))$", r"print(repr(\1))", text, flags=re.M)


def test_every_step_works_on_the_device(pico, tmp_path):
    pki = Pki()
    server = PythonServer(tmp_path, pki.rsa, page)
    clock = ChronyServer(tmp_path)
    ((repl,), (time_set,), (get,)) = (
        TYPED[name] for name in ("2. The REPL", "4. The clock", "5. The verified byte")
    )
    assert "set_clock()" in time_set
    time_set = time_set.replace("set_clock()", f'set_clock(host="{HOST_ADDRESS}", port={clock.port})')
    get = echoed(get.replace('"example.com", 443', f'"localhost", {server.port}'))
    script = FIRST + repl + UNTIL_THE_CLOCK + time_set + TRUSTING + get + TIDY
    try:
        done = pico.run(script, params={"ROOT_PEM": pki.rsa_root.pem, "PORT": server.port}, timeout_ms=60_000)
    finally:
        clock.stop()
        server.stop()
    assert done["status"] == 0, done
    said = done["stdout"]
    assert "set_clock" in said.partition("b'HTTP")[0]
    assert "b'HTTP/1.0 200 OK\\r\\n'" in said
    assert int(said.rpartition("free ")[2]) > FREE_AFTERWARDS
    assert "CN=Test Root RSA" in said.partition("b'HTTP")[2]


def test_wifi_lines_compile():
    """The emulated Pico has no radio."""
    ((lines,),) = (TYPED["3. Wi-Fi"],)
    compile(lines, "first-connection.md", "exec")


def option_names(command):
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("securesocket ")])
def test_command_exists_with_these_options(line):
    command, words = cli, shlex.split(line)[1:]
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    used = {word for word in words if word.startswith("--")}
    assert used <= option_names(command)
    arguments = [option for option in command.params if isinstance(option, click.Argument)]
    assert len([word for word in words if "=" not in word]) - len(used) * 2 <= len(arguments)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_knows_the_target_and_the_board(line):
    words = shlex.split(line)[1:]
    assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M)
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "BOARD":
            assert f"[{value}]" in (ROOT / "boards" / "boards.toml").read_text()


def test_every_command_is_of_a_kind_that_is_looked_at():
    others = [line for line in COMMANDS if not line.startswith(("securesocket ", "make "))]
    assert others == [". .venv/bin/activate"]
