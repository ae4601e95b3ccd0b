"""tests/unit: each (function, interpreter) is a pytest item, from one list made by reading the files.

The modules know nothing of pytest: functions `test_*` with plain asserts. Each module runs in one
process per interpreter (unit_runner.py), when its first item is due; a crash fails the function
that it happened in, and every one after it.
"""

import ast
import subprocess
from dataclasses import dataclass

import pytest

from plugins.interpreters import INTERPRETERS, ROOT, command

UNIT = ROOT / "tests" / "unit"
RUNNER = ROOT / "tests" / "unit_runner.py"
TIMEOUT_S = 600

RESULTS = pytest.StashKey()


@dataclass
class Verdict:
    kind: str  # ok, skip, fail
    text: str  # what was printed; for a skip its reason


def function_names(path):
    """The test functions of a module, in its order, without importing it."""
    body = ast.parse(path.read_text(), str(path)).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def parse(output, names, end):
    """{function: Verdict} from what the runner printed; `end` says how the process ended."""
    verdicts = {}
    printed = []
    running = None
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word == "@run":
            running, printed = rest, []
        elif running and word in ("@ok", "@skip", "@fail") and (rest + " ").startswith(running + " "):
            reason = rest[len(running) + 1 :]
            verdicts[running] = Verdict(word[1:], reason if word == "@skip" else "\n".join(printed))
            running, printed = None, []
        else:
            printed.append(line)
    lost = "\n".join([*printed, end])
    for name in names:
        if name not in verdicts:
            where = "" if name == running else f"not run: the process ended in {running or 'the import'}\n"
            verdicts[name] = Verdict("fail", where + lost)
    return verdicts


def run_module(interpreter, path, names, timeout_s=TIMEOUT_S):
    words, env = command(interpreter, RUNNER, path.stem, *names, paths=[path.parent])
    try:
        done = subprocess.run(
            words, cwd=path.parent, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return parse((late.stdout or b"").decode(errors="replace"), names, f"killed after {timeout_s} s")
    return parse(done.stdout.decode(errors="replace"), names, f"exit status {done.returncode}")


class UnitFailure(Exception):
    pass


class UnitItem(pytest.Item):
    def __init__(self, *, interpreter, function, **kwargs):
        super().__init__(**kwargs)
        self.interpreter, self.name_of_test = interpreter, function
        # A module may write files beside it: its interpreters take turns.
        self.add_marker(pytest.mark.xdist_group(self.path.stem))

    def runtest(self):
        results = self.session.stash.setdefault(RESULTS, {})
        key = (self.path, self.interpreter)
        if key not in results:
            wanted = [
                item.name_of_test
                for item in self.session.items
                if isinstance(item, UnitItem) and (item.path, item.interpreter) == key
            ]
            results[key] = run_module(self.interpreter, self.path, wanted)
        verdict = results[key][self.name_of_test]
        if verdict.kind == "skip":
            pytest.skip(verdict.text or "no reason given")
        if verdict.kind == "fail":
            raise UnitFailure(verdict.text)

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, UnitFailure):
            return f"on {self.interpreter}:\n{excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class UnitModule(pytest.File):
    def collect(self):
        for interpreter in INTERPRETERS:
            for function in function_names(self.path):
                name = f"{function}[{interpreter}]"
                yield UnitItem.from_parent(self, name=name, interpreter=interpreter, function=function)


def make_module(path, parent):
    """Our collector for a module of tests/unit; None leaves others to pytest."""
    if path.parent == UNIT:
        return UnitModule.from_parent(parent, path=path)
    return None
