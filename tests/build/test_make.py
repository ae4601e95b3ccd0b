"""The Makefile and what it asks of the machine."""

import os
import shutil
import subprocess
import time

import environment
import pytest
import system

import common
from plugins.interpreters import BUILDS, ROOT

TARGETS = (
    "help", "demo", "example", "emulate", "test", "lint", "bench", "calibrate", "campaign", "firmware",
    "store", "mip", "build", "clean", "distclean",
)  # fmt: skip


def make(*words, **env):
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=ROOT, env=keep | env, capture_output=True, text=True)


def test_help_is_the_default_and_lists_every_target():
    done = make()
    assert done.returncode == 0
    assert done.stdout == make("help").stdout
    listed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  make ")]
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_target_has_a_way(target):
    assert make("--dry-run", target, "NAME=none").returncode == 0


def test_nothing_to_do_is_nothing_done():
    """`make test` has built everything: there is nothing left to make, and it is said so quickly."""
    started = time.monotonic()
    done = make("--dry-run", "build", "store")
    assert (done.returncode, [line for line in done.stdout.splitlines() if "Nothing to be" not in line]) == (
        0,
        [],
    )
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "changed",
    ["lib/certstore/certstore/der.py", "firmware/mbedtls/stock.h", "manifest.py", "tools/build/unix.py"],
)
def test_a_changed_source_is_built_again(changed):
    assert (ROOT / changed).is_file()
    for build in BUILDS:
        done = make("--dry-run", "build", f"--what-if={changed}")
        assert f"tools/build/unix.py {build}\n" in done.stdout


@pytest.mark.parametrize(
    "changed",
    ["lib/certstore/certstore/der.py", "firmware/mbedtls/rp2.h", "boards/rp2/secure.h", "tools/build/rp2.py"],
)
def test_a_changed_source_is_in_the_next_firmware(changed):
    assert (ROOT / changed).is_file()
    done = make("--dry-run", "build/firmware/PICO_SECURE/firmware.uf2", f"--what-if={changed}")
    assert done.returncode == 0 and "tools/build/boards.py PICO_SECURE\n" in done.stdout


def test_another_checkout_is_built_again():
    done = make("--dry-run", "build", "MICROPYTHON_DIR=/nowhere")
    assert done.stdout.count("tools/build/unix.py") == len(BUILDS)


def test_old_python_is_refused():
    done = make("build", "PYTHON3=")
    assert done.returncode == 2 and "No Python 3.11 or newer" in done.stderr


ABSENT = (
    ("gcc", lambda: False, "gcc"),
    ("gcc -m32", lambda: False, "gcc-multilib"),
    ("make", lambda: True, "make"),
)


def test_missing_program_is_one_line(monkeypatch):
    monkeypatch.setattr(system, "can_install", lambda: False)
    with pytest.raises(common.BuildError) as caught:
        system.check(ABSENT)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("missing: gcc, gcc -m32. Install with: ")
    assert message.endswith("apt-get install --no-install-recommends gcc gcc-multilib")


def test_root_on_debian_installs(monkeypatch):
    installed = []
    monkeypatch.setattr(system, "can_install", lambda: True)
    monkeypatch.setattr(system, "install", installed.append)
    with pytest.raises(common.BuildError):  # it was asked for, and is still missing
        system.check(ABSENT)
    assert installed == [{"gcc", "gcc-multilib"}]


def test_this_machine_has_what_is_needed():
    assert system.missing() == []


def test_absent_programs_are_seen(monkeypatch, tmp_path):
    """Each check can fail: with an empty PATH every program is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {what for what, _ in system.missing()}
    assert found >= {"gcc", "gcc -m32", "git", "tar", "xz", "openssl", "gnutls-serv", "faketime"}


def test_a_firmwares_compiler_is_checked_apart(monkeypatch, tmp_path):
    """Who builds no firmware is not asked for its compiler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    firmware = {what for what, _ in system.missing(system.RADIO_NEEDS)}
    assert firmware == {"arm-none-eabi-gcc", "newlib for Arm", "libstdc++ for Arm", "cmake", "g++"}
    assert not {"arm-none-eabi-gcc", "cmake"} & {what for what, _ in system.missing()}


def test_failed_command_shows_its_end_and_its_log(tmp_path):
    log = tmp_path / "step.log"
    with pytest.raises(common.BuildError) as caught:
        common.run_logged(["sh", "-c", "seq 100; exit 3"], log, "counting")
    lines = str(caught.value).splitlines()
    assert lines[-2] == "100" and len(lines) == common.TAIL_LINES + 1
    assert lines[-1] == f"counting failed (exit status 3); all of it is in {log}"


def test_environment_follows_what_is_installed_only():
    project = {"build-system": {}, "project": {"version": "1"}, "tool": {"setuptools": {}, "ruff": {"a": 1}}}
    same = {**project, "tool": {"setuptools": {}, "ruff": {"a": 2}}}
    other = {**project, "project": {"version": "2"}}
    assert environment.fingerprint(project) == environment.fingerprint(same)
    assert environment.fingerprint(project) != environment.fingerprint(other)


def test_variables_of_an_outer_make_do_not_reach_the_inner(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", " -- MBEDTLS_DIR=/elsewhere")
    monkeypatch.setenv("MBEDTLS_DIR", "/elsewhere")
    monkeypatch.setenv("BUILD", "/elsewhere")
    assert not {"MAKEFLAGS", "MBEDTLS_DIR", "BUILD"} & set(common.clean_environment())


def test_ci_runs_make_test_only():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert shutil.which("bash")
    assert script.read_text().splitlines()[-1] == "make test"
