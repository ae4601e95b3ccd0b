"""Where the sources come from, and that a source which is not what it should be is refused."""

import os
import shutil
import subprocess

import pytest

import sources
from common import BuildError, cache_dir, versions

DEB822 = """\
Types: deb
# a comment
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://else.example/tools
Suites: stable
Components: main
"""

ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/a.gpg] http://archive.example/debian/ bookworm main non-free  # here
deb http://archive.example/debian bookworm-updates main
deb http://plain.example/debian bookworm main
deb [trusted=yes] http://node.example/node stable main
"""


def test_archives_of_the_machine(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(DEB822)
    (parts / "old.list").write_text(ONE_LINE)
    (parts / "old.list.save").write_text("deb http://saved.example/debian bookworm main\n")
    assert sources.archive_entries(tmp_path) == [
        ("http://archive.example/debian", "/usr/share/keyrings/debian-archive-keyring.gpg"),
        ("http://archive.example/debian/", "/keys/a.gpg"),
        ("http://plain.example/debian", None),
    ]


STOCK = {"version": "1.26.1", "accepted": ["1.26", "1.25"]}


@pytest.mark.parametrize(
    ("have", "chosen"),
    [
        (["1.25.0+ds-1", "1.26.1+ds-1", "1.28.0+ds-1"], "1.26.1+ds-1"),
        (["1.26.1+ds-1", "1.26.1+ds-10", "1.26.1+ds-9"], "1.26.1+ds-10"),
        (["1.25.0+ds-1", "1.26.0+ds-1"], "1.26.0+ds-1"),
        (["1.19.1+ds-1", "1:1.25.0+ds-1"], "1:1.25.0+ds-1"),
    ],
)
def test_choice_of_version(have, chosen):
    assert sources.choose([(version, {}) for version in have], STOCK, "micropython")[0] == chosen


@pytest.mark.parametrize("have", [[], ["1.19.1+ds-1"], ["1.2.6-1", "1.260.0-1"]])
def test_no_version_says_what_there_is(have):
    with pytest.raises(BuildError) as caught:
        sources.choose([(version, {}) for version in have], STOCK, "micropython")
    assert f"found {', '.join(sorted(have)) or 'none'}. Set MICROPYTHON_DIR" in str(caught.value)


# ---- Debian: with what this machine has downloaded already; no test reaches the network ----


@pytest.fixture
def cache(tmp_path):
    """A copy of the cache: the signed indexes and the tarballs, nothing unpacked."""
    if not (cache_dir() / "apt" / "lists").is_dir():
        pytest.skip("the builds of this machine are not from Debian's source packages")
    shutil.copytree(cache_dir() / "apt", tmp_path / "apt", copy_function=os.link)
    shutil.copytree(cache_dir() / "downloads", tmp_path / "downloads", copy_function=os.link)
    return tmp_path


def unpack_stock(cache):
    pins = versions()
    return sources.from_debian(cache, pins["micropython"]["stock"], pins["mbedtls"], pins["debian"]["suites"])


def test_debian_source_unpacks_without_network(cache):
    tree = unpack_stock(cache)
    assert (tree / "ports" / "unix" / "Makefile").is_file()
    assert sources.has_mbedtls(tree / "lib" / "mbedtls")


@pytest.mark.parametrize("package", ["micropython_1.2", "mbedtls_3.6"])
def test_corrupted_tarball_is_refused(cache, package):
    for path in (cache / "downloads").glob(f"{package}*.orig.tar.*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()  # it is a link to the machine's own
        path.write_bytes(data)
    with pytest.raises(BuildError, match=r"not what the signed index promises.*Remove the file"):
        unpack_stock(cache)
    assert not list(cache.glob("source/*")), "nothing may be unpacked"


@pytest.fixture
def archive(tmp_path):
    """A Debian archive in a folder: the real, signed InRelease file, and the index that it vouches for."""
    lists = cache_dir() / "apt" / "lists"
    release = next(iter(lists.glob("*_dists_trixie_InRelease")), None)
    if release is None:
        pytest.skip("the builds of this machine are not from Debian's source packages")
    suite = tmp_path / "archive" / "debian" / "dists" / "trixie"
    (suite / "main" / "source").mkdir(parents=True)
    shutil.copy(release, suite / "InRelease")
    index = next(lists.glob("*_dists_trixie_main_source_Sources*"))
    plain = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", index], capture_output=True, check=True)
    (suite / "main" / "source" / "Sources").write_bytes(plain.stdout)
    return suite


def read_indexes(archive, tmp_path, keyring):
    uri = f"copy://{archive.parents[1]}"
    apt = sources.Apt(tmp_path / "state", [(uri, str(keyring))], ["trixie"])
    apt.update()
    return apt.candidates("micropython")


def keyring():
    return next(key for _, key in sources.archive_entries() if key)


def test_signed_archive_is_accepted(archive, tmp_path):
    assert "1.25.0" in [sources.upstream(v) for v, _ in read_indexes(archive, tmp_path, keyring())]


def test_changed_release_file_is_refused(archive, tmp_path):
    release = archive / "InRelease"
    release.write_text(release.read_text().replace("Origin: Debian", "Origin: debian", 1))
    with pytest.raises(BuildError, match=r"apt-get update refused:[^$]*signature"):
        read_indexes(archive, tmp_path, keyring())


def test_other_keyring_is_refused(archive, tmp_path):
    empty = tmp_path / "empty.gpg"
    empty.write_bytes(b"")
    with pytest.raises(BuildError, match="apt-get update refused"):
        read_indexes(archive, tmp_path, empty)


def test_unsigned_archive_is_refused(archive, tmp_path):
    text = (archive / "InRelease").read_text()
    (archive / "InRelease").unlink()
    body = text.split("\n\n", 1)[1].split("-----BEGIN PGP SIGNATURE")[0]
    (archive / "Release").write_text(body)
    with pytest.raises(BuildError, match="not signed"):
        read_indexes(archive, tmp_path, keyring())


def test_changed_index_is_refused(archive, tmp_path):
    index = archive / "main" / "source" / "Sources"
    index.write_bytes(index.read_bytes().replace(b"Package: micropython", b"Package: Micropython", 1))
    with pytest.raises(BuildError, match="apt-get update refused"):
        read_indexes(archive, tmp_path, keyring())


# ---- git ----


def git(*words, cwd):
    name = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always")
    return subprocess.run(["git", *name, *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """A small MicroPython repository with mbedTLS as its submodule, and its pins."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    for name, file in (("mbedtls", "include/mbedtls/ssl.h"), ("micropython", "ports/unix/Makefile")):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        path.write_text(f"{name}\n")
        git("init", "-q", cwd=tmp_path / name)
        git("add", ".", cwd=tmp_path / name)
        git("commit", "-qm", "one", cwd=tmp_path / name)
    repository = tmp_path / "micropython"
    git("submodule", "add", "-q", str(tmp_path / "mbedtls"), "lib/mbedtls", cwd=repository)
    (repository / "lib" / "micropython-lib").mkdir()
    (repository / "lib" / "micropython-lib" / "keep").touch()
    git("add", ".", cwd=repository)
    git("commit", "-qm", "two", cwd=repository)
    git("tag", "v1.0.0", cwd=repository)
    commit = git("rev-parse", "HEAD", cwd=tmp_path / "mbedtls").strip()
    pin = {"content": sources.content_digest(repository), "mbedtls": commit}
    return {"url": f"file://{repository}", "tags": {"v1.0.0": pin}}


def test_clone_that_matches_its_pins(upstream, tmp_path):
    tree = sources.from_git(tmp_path / "cache", "v1.0.0", upstream)
    assert sources.has_mbedtls(tree / "lib" / "mbedtls")


@pytest.mark.parametrize(("pin", "message"), [("content", "not the source"), ("mbedtls", "mbedTLS commit")])
def test_clone_that_differs_from_a_pin_is_refused(upstream, tmp_path, pin, message):
    upstream["tags"]["v1.0.0"][pin] = "0" * 40
    with pytest.raises(BuildError, match=message):
        sources.from_git(tmp_path / "cache", "v1.0.0", upstream)
    assert not (tmp_path / "cache" / "source" / "git-v1.0.0").exists()


def test_pinned_digest_is_that_of_debians_source():
    for tag, pin in versions()["git"]["tags"].items():
        trees = list(cache_dir().glob(f"source/micropython-{tag[1:]}_*"))
        if not trees:
            pytest.skip(f"MicroPython {tag} is not unpacked from Debian here")
        assert sources.content_digest(trees[0]) == pin["content"], tag


# ---- a checkout ----


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "mine"
    (folder / "ports" / "unix").mkdir(parents=True)
    (folder / "ports" / "unix" / "Makefile").write_text("all:\n")
    (folder / "lib" / "mbedtls").mkdir(parents=True)
    mbedtls = tmp_path / "mbedtls" / "include" / "mbedtls"
    mbedtls.mkdir(parents=True)
    (mbedtls / "ssl.h").touch()
    return folder


def everything(folder):
    return sorted((path.relative_to(folder), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_checkout_is_linked_not_written(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BUILD", tmp_path / "build")
    before = everything(checkout)
    tree = sources.from_checkout(checkout, tmp_path / "mbedtls")
    assert sources.has_mbedtls(tree / "lib" / "mbedtls")
    assert (tree / "ports" / "unix" / "Makefile").read_text() == "all:\n"
    assert (tree / "lib" / "micropython-lib" / "README.md").is_file()
    assert everything(checkout) == before


def test_links_follow_the_checkout(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BUILD", tmp_path / "build")
    old = checkout / "ports" / "unix" / "old.c"
    old.touch()
    tree = sources.from_checkout(checkout, tmp_path / "mbedtls")
    assert (tree / "ports" / "unix" / "old.c").is_file()
    old.rename(old.with_name("new.c"))
    sources.from_checkout(checkout, tmp_path / "mbedtls")
    assert sorted(path.name for path in (tree / "ports" / "unix").iterdir()) == ["Makefile", "new.c"]


def test_checkout_with_all_it_needs_is_used_itself(checkout):
    (checkout / "lib" / "mbedtls" / "include" / "mbedtls").mkdir(parents=True)
    (checkout / "lib" / "mbedtls" / "include" / "mbedtls" / "ssl.h").touch()
    (checkout / "lib" / "micropython-lib").mkdir()
    (checkout / "lib" / "micropython-lib" / "README.md").touch()
    assert sources.from_checkout(checkout) == checkout


def test_checkout_without_mbedtls_says_what_to_type(checkout, tmp_path):
    with pytest.raises(BuildError, match=r"submodule update --init lib/mbedtls.*MBEDTLS_DIR"):
        sources.from_checkout(checkout)
    with pytest.raises(BuildError, match="is not an mbedTLS checkout"):
        sources.from_checkout(checkout, tmp_path)
    with pytest.raises(BuildError, match="is not a MicroPython checkout"):
        sources.from_checkout(tmp_path)


def test_checkout_comes_before_debian(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BUILD", tmp_path / "build")
    monkeypatch.setenv("MICROPYTHON_DIR", str(checkout))
    monkeypatch.setenv("MBEDTLS_DIR", str(tmp_path / "mbedtls"))
    assert sources.source("stock") == sources.source("stock32") == tmp_path / "build" / "source" / "checkout"
