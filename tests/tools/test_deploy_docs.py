"""docs/deploying.md: the commands that it shows run, and its tables name what there is."""

import re
import shlex

import pytest

from plugins.command import run
from plugins.interpreters import ROOT
from securesocket_cli import device_commands

PAGE = (ROOT / "docs" / "deploying.md").read_text()
COMMANDS = re.findall(
    r"^securesocket .*$", "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)), re.M
)


def test_there_are_commands():
    assert len(COMMANDS) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(command)[1:]).endswith("nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_its_table_has_every_command():
    shown = re.findall(r"^\| `securesocket (\w+) ", PAGE, re.M)
    assert sorted(shown) == sorted(command.verb for command in device_commands.COMMANDS)


def test_every_option_that_it_names_exists():
    options = {
        word
        for command in device_commands.COMMANDS
        for word in re.findall(r"--[a-z-]+", run(command.verb, "--help"))
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= options
