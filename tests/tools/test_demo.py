"""`make demo`: it comes out as it should, fails when it should, and leaves nothing behind."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from plugins.interpreters import BUILDS, ROOT

DEMO = ROOT / "examples" / "demo.py"


def load():
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


demo = load()
CASES = {case.title: case for case in (*demo.PAGES, *demo.FAILURES)}


def start(tmp_path):
    """The demo as a program, with temporary files of its own."""
    (tmp_path / "temp").mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / "temp"), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, DEMO, tmp_path / "demo"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def left_behind(tmp_path):
    """Files in the temporary folder, and processes that name it."""
    mark = str(tmp_path / "temp").encode()
    found = list((tmp_path / "temp").iterdir())
    for process in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{process}/cmdline", "rb") as words:
                found += [process] if mark in words.read() else []
        except OSError:
            continue
    return found


def test_demo_comes_out_as_expected(tmp_path):
    process = start(tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    assert errors == ""
    summary = output.partition("== Summary\n")[2].splitlines()
    assert summary[0].split() == ["what", "expected", "got", "ms"]
    rows = [re.split(r" {2,}", line.strip()) for line in summary[1 : 1 + len(CASES)]]
    assert [row[0] for row in rows] == list(CASES)
    for title, expected, got, ms, mark in rows:
        assert expected == got == CASES[title].expected and int(ms) >= 0 and mark == "ok"
    assert summary[-1].startswith(f"all {len(CASES)} as expected, in ")
    # Every failure is told with its remedy; the store was built by the command that is shown.
    told = " ".join(output.split())
    assert told.count("; remedy: ") == len(demo.FAILURES)
    assert "$ securesocket store build --add " in told and "119 certificates" in told
    # Only a long path is longer: a word is never cut.
    assert all(len(line) <= demo.PLAIN_WIDTH or str(tmp_path) in line for line in output.splitlines())
    assert left_behind(tmp_path) == []
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "demo-ec-root.pem", "demo-roots.pem", "roots.bin",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_cleans_up(tmp_path, number):
    process = start(tmp_path)
    try:
        for line in process.stdout:
            if line.startswith("== Verified"):
                break
        servers = left_behind(tmp_path)
        assert len(servers) > 1  # the folder of keys, and the servers
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 1 and errors == "demo: interrupted\n"
    assert left_behind(tmp_path) == []


ACCEPTED = "accepted: <SecureSocket localhost open, verified>\n"
PAGE = "HTTP/1.0 200 OK, 72 bytes, title: A page\nanchor        CN=Demo EC Root (from the store)\n"
REFUSED = "UnknownIssuer: no trust anchor issued this: found x\ncode: unknown-issuer\nso: tell\n"


@pytest.mark.parametrize(
    ("title", "status", "output", "ok"),
    [
        ("unknown issuer", 0, REFUSED, True),
        ("unknown issuer", 0, ACCEPTED, False),
        ("unknown issuer", 0, PAGE, False),
        ("unknown issuer", 0, REFUSED + ACCEPTED, False),
        ("unknown issuer", 0, REFUSED.replace("UnknownIssuer", "Expired"), False),
        ("unknown issuer", 1, REFUSED, False),
        ("unknown issuer", 1, "Traceback (most recent call last):\nUnknownIssuer: no trust", False),
        ("unknown issuer", 0, "", False),
        ("a page, EC chain", 0, PAGE, True),
        ("a page, EC chain", 1, PAGE, False),
        ("a page, EC chain", 0, PAGE.replace("Demo EC", "Other"), False),
        ("a page, EC chain", 0, PAGE.replace("from the store", "from the certificate"), False),
        ("a page, EC chain", 0, PAGE.replace("200", "404"), False),
        ("a page, EC chain", 0, PAGE.partition("\n")[0], False),
        ("a page, EC chain", 0, PAGE + PAGE, False),
        ("two pages, asyncio", 0, PAGE + PAGE, True),
        ("two pages, asyncio", 0, PAGE, False),
    ],
)
def test_judgement(title, status, output, ok):
    result = demo.judge(CASES[title], status, output, 1.0)
    assert result.ok is ok, result


def test_one_wrong_result_is_a_failure(capsys):
    good = demo.judge(CASES["unknown issuer"], 0, REFUSED, 1.0)
    bad = demo.judge(CASES["unknown issuer"], 0, ACCEPTED, 1.0)
    assert [demo.exit_status(results) for results in ([good], [good, bad], [])] == [0, 1, 1]
    demo.summary(demo.make_console(), [good, bad], 1.0)
    told = capsys.readouterr().out
    assert "ACCEPTED" in told and "1 of 2 are WRONG" in told


def test_an_accepted_failure_fails_the_demo(tmp_path, monkeypatch, capsys):
    """The same, with real connections: the case of an unknown issuer, and its root is trusted."""
    case = CASES["unknown issuer"]
    trusted = demo.Case(case.title, case.script, case.server, case.expected, trust="store")
    monkeypatch.setattr(demo, "PAGES", ())
    monkeypatch.setattr(demo, "FAILURES", (trusted,))
    assert demo.main(tmp_path) == 1
    told = capsys.readouterr().out
    assert "accepted: <SecureSocket localhost:" in told and "1 of 1 are WRONG" in told


@pytest.mark.parametrize("build", BUILDS)
def test_demo_runs_on_every_build(tmp_path, monkeypatch, capsys, build):
    monkeypatch.setattr(demo, "MICROPYTHON", ROOT / "build" / "unix" / build / "micropython")
    if build == "stock32":  # libfaketime is a 64-bit library
        monkeypatch.setattr(demo, "FAILURES", [case for case in demo.FAILURES if not case.clock])
    assert demo.main(tmp_path) == 0, capsys.readouterr().out


def test_missing_build_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "MICROPYTHON", ROOT / "build" / "absent")
    with pytest.raises(SystemExit, match="build/absent is missing; `make demo` builds it"):
        demo.main(tmp_path)


def test_server_that_does_not_start_is_told(tmp_path, monkeypatch):
    """With the reason that openssl gives."""
    leaf = demo.issue("localhost", "ec", None, "localhost")
    monkeypatch.setattr(demo, "START_S", 5)
    started = time.monotonic()
    other = demo.new_key("ec")
    with pytest.raises(SystemExit, match="did not start"):
        with demo.server(tmp_path, "odd", demo.Authority(leaf.certificate, other)):
            pass
    assert time.monotonic() - started < 5
