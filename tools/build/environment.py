"""The private Python environment, with what pyproject.toml pins: environment.py .venv"""

import hashlib
import importlib.util
import json
import shutil
import sys
import tomllib
from pathlib import Path

from common import BUILD, ROOT, main, run_logged, say


def fingerprint(project):
    """Changes when something that is installed changes; a new lint rule is no such thing."""
    tables = [project["build-system"], project["project"], project["tool"]["setuptools"]]
    text = json.dumps([*tables, sys.version, str(ROOT)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def create(folder):
    """Make the environment from nothing, unless the one there has all of this already."""
    folder = Path(folder).resolve()
    mark = folder / "installed.txt"
    wanted = fingerprint(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    if mark.is_file() and mark.read_text() == wanted:
        return
    log = BUILD / "environment.log"
    say(f"making {folder.name} with the Python tools (pyproject.toml)")
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    if importlib.util.find_spec("ensurepip"):
        run_logged([sys.executable, "-m", "venv", folder], log, "python -m venv")
        pip = [python, "-m", "pip"]
    else:
        # A distribution's Python without ensurepip: the pip that runs is the outer one.
        run_logged([sys.executable, "-m", "venv", "--without-pip", folder], log, "python -m venv")
        pip = [sys.executable, "-m", "pip", "--python", python]
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    run_logged([*pip, "install", *quiet, "--editable", f"{ROOT}[dev,pictures]"], log, "pip install")
    mark.write_text(wanted)


if __name__ == "__main__":
    main(create)
