"""Packages: manifests, package.json and the folders of sources say the same, and the core is complete."""

import json
import subprocess
import sys

import pytest

from plugins.interpreters import ROOT
from securesocket_cli import packages
from securesocket_cli.errors import CommandError

LIB = ROOT / "lib"
NAMES = packages.names()
SOURCES = {
    path.relative_to(LIB / name).as_posix(): path
    for name in ("certstore", "securesocket")
    for path in (LIB / name / name).rglob("*.py")
}


def test_every_folder_of_lib_is_a_package():
    assert sorted(path.name for path in LIB.iterdir() if path.is_dir()) == NAMES


def test_every_source_is_in_one_package():
    listed = [(to, source.resolve()) for name in NAMES for to, source in packages.read(name).files.items()]
    assert sorted(listed) == sorted(SOURCES.items())


@pytest.mark.parametrize("name", NAMES)
def test_package_json_is_made_from_the_manifests(name):
    path = LIB / name / "package.json"
    assert path.read_text() == packages.listing(name), "run: python -m securesocket_cli.packages, in tools/"
    listed = json.loads(path.read_text())
    assert {to: (LIB / name / source).resolve() for to, source in listed["urls"]} == packages.files([name])


def test_the_firmware_and_the_default_have_everything():
    assert packages.files() == SOURCES
    assert f'require("{packages.DEFAULT[0]}", library="securesocket")' in (ROOT / "manifest.py").read_text()


def test_what_is_required_comes_first():
    names = [package.name for package in packages.closure(packages.DEFAULT)]
    assert names[0] == "certstore" and names[-1] == "securesocket-full" and sorted(names) == NAMES


def test_the_core_brings_certstore():
    core = packages.files(["securesocket"])
    assert "certstore/blob.py" in core and "securesocket/engine/tap.py" in core
    assert "certstore/update.py" not in core and "securesocket/wording.py" not in core


@pytest.mark.parametrize("name", ["securesocket-nothing", "", "../lib/certstore"])
def test_an_unknown_package_is_an_error_that_names_the_known(name):
    with pytest.raises(CommandError, match=r"there are certstore, .*securesocket-full"):
        packages.files([name])


@pytest.mark.parametrize("name", NAMES)
def test_micropythons_own_reader_of_manifests_finds_the_same(name, tmp_path):
    """The module that the builds of the firmware use."""
    reader = next((ROOT / "build" / "unix" / "stock").glob("source.txt"), None)
    if reader is None:
        pytest.fail("build/unix/stock is missing: run `make build`")
    script = (
        "import sys, json, manifestfile as m\n"
        'found = m.ManifestFile(m.MODE_FREEZE, {"MPY_LIB_DIR": ""})\n'
        "found.execute(sys.argv[1])\n"
        "print(json.dumps({f.target_path: f.full_path for f in found.files()}))"
    )
    top = tmp_path / "manifest.py"
    top.write_text(f'add_library("ours", {str(LIB)!r})\nrequire({name!r}, library="ours")\n')
    done = subprocess.run(
        [sys.executable, "-c", script, top], cwd=f"{reader.read_text()}/tools", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = {to: (LIB / name / path).resolve() for to, path in json.loads(done.stdout).items()}
    assert found == packages.files([name])
