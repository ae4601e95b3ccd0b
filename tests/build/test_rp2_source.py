"""The sources of an rp2 firmware from Debian: unpacked beside MicroPython's, what is changed is refused."""

import os
import shutil

import pytest

import rp2_source
from common import BuildError, cache_dir, versions


@pytest.fixture
def cache(tmp_path):
    """A copy of the cache: the signed indexes and what was downloaded, nothing unpacked."""
    if not (cache_dir() / "apt-binary" / "lists").is_dir():
        pytest.skip("no firmware was built from Debian's packages on this machine")
    for name in ("apt", "apt-binary", "downloads"):
        shutil.copytree(cache_dir() / name, tmp_path / name, copy_function=os.link)
    return tmp_path


@pytest.fixture
def base(tmp_path):
    """Stands for MicroPython's tree, whose submodules are empty folders."""
    folder = tmp_path / "micropython-1.0"
    for name in rp2_source.LIBRARIES:
        (folder / name).mkdir(parents=True)
    (folder / "README.md").write_text("MicroPython\n")
    return folder


def unpack(cache, base):
    return rp2_source.from_debian(cache, base, versions(), versions()["debian"])


def test_libraries_are_unpacked_without_network(cache, base):
    tree = unpack(cache, base)
    assert (tree / "README.md").read_text() == "MicroPython\n"
    for name in rp2_source.LIBRARIES:
        assert (tree / name / rp2_source.SIGNS[name]).is_file()
        assert not list((base / name).iterdir()), "the base is left as it was"
    assert tree.name.startswith("micropython-1.0_lwip-2.") and "_tinyusb-0.18" in tree.name
    assert unpack(cache, base) == tree


@pytest.mark.parametrize("archive", ["lwip_*.orig.tar.*", "pico-sdk_*.orig.tar.*", "tinyusb-source_*.deb"])
def test_changed_archive_is_refused(cache, base, archive):
    (path,) = (cache / "downloads").glob(archive)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # it is a link to the machine's own
    path.write_bytes(data)
    with pytest.raises(BuildError, match=r"not what the signed index promises.*Remove the file"):
        unpack(cache, base)
    assert not list(cache.glob("source/*")), "nothing may be unpacked"


def test_version_that_debian_has_not(cache, base):
    pins = versions() | {"tinyusb-source": {"version": "9.9", "accepted": ["9.8"]}}
    with pytest.raises(BuildError, match=r"no package tinyusb-source 9\.9 \(or 9\.8\) in Debian: found 0\."):
        rp2_source.from_debian(cache, base, pins, pins["debian"])
