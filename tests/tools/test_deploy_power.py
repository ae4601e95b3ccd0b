"""Power cut during `securesocket deploy`: the board imports all of the old modules, or all of the new
ones."""

import ast
import subprocess

import pytest

from plugins.board import Board
from plugins.command import run
from plugins.interpreters import ROOT, binary, environment
from securesocket_cli import deploy_device, packages


def modules(version):
    """{destination: source} of two packages that import each other's parts, as ours do."""
    only = f"only_{version}"
    return {
        "certstore/__init__.py": f"VALUE = {version!r}\n",
        "certstore/value.py": f"from . import VALUE\n__import__('certstore.{only}')\n",
        f"certstore/{only}.py": f"VALUE = {version!r}\n" + "# ...\n" * 100,
        "securesocket/__init__.py": f"VALUE = {version!r}\n"
        f"def other():\n    from certstore.{only} import VALUE\n    from .value import VALUE as own\n"
        f"    return VALUE if VALUE == own == {version!r} else (VALUE, own)\n",
        "securesocket/value.py": "from certstore.value import VALUE\n",
        f"securesocket/engine/{only}.py": f"VALUE = {version!r}\n",
    }


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path, blocks=120, block=512)
    yield board
    board.close()


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """A function that makes `deploy` deploy this version."""

    def choose(version):
        sources = {}
        for name, text in modules(version).items():
            sources[name] = tmp_path / version / name
            sources[name].parent.mkdir(parents=True, exist_ok=True)
            sources[name].write_text(text)
        monkeypatch.setattr(packages, "files", lambda names: sources)

    return choose


def put(board, version):
    for name, text in modules(version).items():
        board.put(f"/lib/{name}", text.encode())


def test_every_write_of_a_deployment(board, deployment, tmp_path):
    """The programs that mpremote sent, done again on a copy of the flash, cut at each write, and again while
    the cut was being repaired."""
    put(board, "old")
    flash = board.image.read_bytes()
    deployment("new")
    run("deploy", board.port)
    case = {"flash": flash, "programs": board.seen, "settle": deploy_device.FORGET}
    (tmp_path / "case").write_text(repr(case))
    paths = [ROOT / "tests" / "unit", ROOT / "lib" / "certstore"]
    script = ROOT / "tests" / "tools" / "deploy_cuts.py"
    done = subprocess.run(
        [binary("stock"), "-X", "heapsize=16M", script, tmp_path / "case", "20"], env=environment(paths),
        cwd=ROOT / "tests" / "unit", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    writes, counts = done.stdout.strip().split(" ", 1)
    counts = ast.literal_eval(counts)
    assert counts["old"] + counts["new"] == 2 * int(writes)
    assert counts["old"] > 100 and counts["new"] > 20 and counts["second"] > 100
