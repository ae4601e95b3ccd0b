"""What the build helpers share. Standard library only: they run before the environment exists."""

import fcntl
import os
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TAIL_LINES = 30


class BuildError(Exception):
    """Something a person has to do; printed as one message, without a traceback."""


def cache_dir():
    """The folder for what is downloaded: SECURESOCKET_CACHE, or one in the user's cache."""
    given = os.environ.get("SECURESOCKET_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given).resolve() if given else Path(base) / "securesocket"


def versions():
    return tomllib.loads((ROOT / "firmware" / "versions.toml").read_text())


def say(text):
    print(f"  {text}", flush=True)


def verbose():
    return os.environ.get("V", "") not in ("", "0")


@contextmanager
def locked(path):
    """Hold the lock file `path`, so that parallel makes do a thing once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def clean_environment():
    """The environment without the variables of a make above us.

    A variable given on make's command line travels in MAKEFLAGS and would override the
    same name in MicroPython's makefiles (MBEDTLS_DIR is one).
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for name in ("BUILD", "V", "MBEDTLS_DIR", "PYTHONPATH"):
        env.pop(name, None)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["LC_ALL"] = "C.UTF-8"
    return env


def run_logged(command, log, what, cwd=None):
    """Run `command` with its output in the file `log`; on failure show the end of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(word) for word in command]
    with open(log, "w") as out:
        out.write("$ " + " ".join(command) + "\n")
        out.flush()
        target = None if verbose() else out
        status = subprocess.run(
            command, cwd=cwd, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=target, stderr=target
        ).returncode
    if status:
        tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise BuildError("\n".join([*tail, f"{what} failed (exit status {status}); all of it is in {log}"]))


def main(function):
    """Call `function` with the command line's words; a BuildError ends with status 1."""
    try:
        function(*sys.argv[1:])
    except BuildError as error:
        sys.exit(f"securesocket: {error}")
