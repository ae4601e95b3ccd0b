"""Where programs run: what a device tells is read whole, or refused."""

import pytest

from plugins.interpreters import binary
from securesocket_cli import targets
from securesocket_cli.errors import CommandError

GOOD = "boot says hello\n@@ ('fact', 'a', [1, b'x'])\nnoise @@ here\n@@ ('end',)\n"


def test_what_is_told_among_other_lines():
    assert targets.told(GOOD, 0, "", "unix") == [("fact", "a", [1, b"x"])]


BAD = (
    ("cut off after a line", "@@ ('fact', 'a', 1)\n", 0, "", "did not end: found \"@@ ('fact', 'a', 1)\""),
    ("nothing", "", 0, "", "did not end: found 'nothing'"),
    ("a failure after the end", GOOD, 1, "it crashed\n", "did not end: found 'it crashed'"),
    ("no memory", "", 1, "MemoryError: memory\n", "expected room for it; remedy: a larger heap"),
    ("no tuple", "@@ 5\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("an empty tuple", "@@ ()\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("no name", "@@ (5,)\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("a call", "@@ print('end')\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("cut off in a line", "@@ ('fact', 'a\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("deep", "@@ " + "(" * 5000 + "\n@@ ('end',)\n", 0, "", "expected a tuple"),
    ("what a terminal obeys", "", 1, "\x1b[2J\n", "\\1B[2J"),
)


@pytest.mark.parametrize(
    ("said", "status", "trouble", "found"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_what_is_refused(said, status, trouble, found):
    with pytest.raises(CommandError) as caught:
        targets.told(said, status, trouble, "unix")
    # Within the message it is quoted, and so a backslash is doubled.
    assert found in caught.value.message.replace("\\\\", "\\") and "\x1b" not in caught.value.message


def test_a_program_has_its_parameters():
    with targets.target("unix") as device:
        assert device.run("tell('x', A, B)\ntell('end')", {"A": b"\0'", "B": None}) == [("x", b"\0'", None)]


def test_a_program_that_does_not_end(monkeypatch):
    monkeypatch.setattr(targets, "_TIMEOUT_S", 1)
    with pytest.raises(CommandError, match="has not ended after 1 s"):
        targets.target("unix").run("while True: pass")


def test_a_program_that_fails():
    with pytest.raises(CommandError, match="found 'ValueError: no'"):
        targets.target("unix").run("tell('x')\nraise ValueError('no')")


def test_a_heap_is_as_large_as_it_was_asked_for():
    source = "import gc\ntell('free', gc.mem_free() + gc.mem_alloc())\ntell('end')"
    for size in (65_536, 131_072):
        ((_, found),) = targets.target("unix", binary("stock32"), size).run(source)
        assert size * 0.95 < found <= size


def test_without_the_emulator_s_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match="rp2040py, elftools is not installed; remedy: make build"):
        targets.target("emulator")
    monkeypatch.setattr(targets, "_ROOT", tmp_path)
    with pytest.raises(CommandError, match="expected a checkout of securesocket"):
        targets.target("emulator")


def test_without_mpremote(monkeypatch):
    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match="mpremote is not installed"):
        targets.target("/dev/ttyNONE")
