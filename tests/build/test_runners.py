"""The runners of tests/unit and tests/target: each way that a script can end is told apart."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from plugins import unit
from plugins.interpreters import BUILDS, INTERPRETERS, ROOT
from plugins.target import UnixTarget

MODULE = """
import sys

class Skip(Exception):
    pass

def test_good():
    print("printed")

def test_bad():
    assert 1 == 2, "one is not two"

def test_skipped():
    raise Skip("not on this machine")

def test_good_again():
    pass

def test_leaves():
    sys.exit(3)

def test_never():
    pass
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "test_sample.py"
    path.write_text(MODULE)
    return path


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_verdicts(module, interpreter):
    verdicts = unit.run_module(interpreter, module, unit.function_names(module))
    kinds = {name.removeprefix("test_"): verdict.kind for name, verdict in verdicts.items()}
    assert kinds == {
        "good": "ok", "bad": "fail", "skipped": "skip", "good_again": "ok", "leaves": "fail", "never": "fail",
    }  # fmt: skip
    assert "one is not two" in verdicts["test_bad"].text and "line 11" in verdicts["test_bad"].text
    assert verdicts["test_skipped"].text == "not on this machine"
    assert verdicts["test_leaves"].text == "exit status 3"
    assert verdicts["test_never"].text.startswith("not run: the process ended in test_leaves")


@pytest.mark.parametrize("interpreter", ["cpython", "stock"])
def test_module_that_does_not_import_fails_each_function(module, interpreter):
    module.write_text("import absent_module\n" + MODULE)
    verdicts = unit.run_module(interpreter, module, unit.function_names(module))
    assert len(verdicts) == 6
    assert all(v.kind == "fail" and "absent_module" in v.text for v in verdicts.values())


@pytest.mark.parametrize("interpreter", ["cpython", "stock"])
def test_endless_function_is_ended(module, interpreter):
    module.write_text("def test_first():\n    pass\ndef test_endless():\n    while True:\n        pass\n")
    verdicts = unit.run_module(interpreter, module, unit.function_names(module), timeout_s=2)
    assert verdicts["test_first"].kind == "ok"
    assert verdicts["test_endless"].kind == "fail" and "killed after 2 s" in verdicts["test_endless"].text


def test_one_list_for_every_interpreter():
    """Each test function of tests/unit is collected once per interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/unit"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    collected = {line for line in done.stdout.splitlines() if "::" in line}
    expected = {
        f"tests/unit/{path.name}::{function}[{interpreter}]"
        for path in (ROOT / "tests" / "unit").glob("test_*.py")
        for function in unit.function_names(path)
        for interpreter in INTERPRETERS
    }
    assert collected == expected and expected


def test_no_file_of_tests_is_overlooked():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q"], cwd=ROOT, capture_output=True, text=True
    )
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert collected == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("**/test_*.py")}


def test_unknown_target_is_refused():
    words = [sys.executable, "-m", "pytest", "--target", "toaster", "tests/target"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 4
    assert "--target toaster: no such target; there is unix" in done.stderr


@pytest.fixture
def unix():
    target = UnixTarget()
    yield target
    target.close()


@pytest.mark.parametrize("build", BUILDS)
def test_parameters_and_result(unix, build):
    params = {"NAME": "a 'quoted' \n name", "NUMBERS": [1, 2.5, None], "BLOB": b"\x00\xff"}
    script = "import json\nprint('RESULT 1')\nprint('RESULT', json.dumps([NAME, NUMBERS, len(BLOB)]))"
    run = unix.run(script, build=build, params=params)
    assert run.result == ["a 'quoted' \n name", [1, 2.5, None], 2]
    assert (run.returncode, run.stderr) == (0, "")


def test_script_from_a_file_with_an_environment(unix, tmp_path):
    path = tmp_path / "ask.py"
    path.write_text("import os, sys\nsys.stderr.write(os.getenv('ANSWER'))\nsys.exit(7)")
    run = unix.run(Path(path), env={"ANSWER": "42"})
    assert (run.returncode, run.stderr) == (7, "42")
    with pytest.raises(AssertionError, match="printed no RESULT line"):
        run.result  # noqa: B018


def test_script_that_takes_too_long(unix):
    started = time.monotonic()
    with pytest.raises(pytest.fail.Exception, match=r"(?s)still running after 1 s.*begun"):
        unix.run("print('begun')\nwhile True: pass", timeout_s=1)
    assert time.monotonic() - started < 10


def test_process_beside_the_test_ends_with_it(unix):
    process = unix.start("print('ready')\nimport time\ntime.sleep(600)")
    assert process.line() == "ready"
    unix.stop()
    assert process.popen.poll() is not None
