"""The sources of MicroPython and mbedTLS: found, verified, unpacked once.

`python3 tools/build/sources.py stock` prints the folder for the build of that name.
In this order:
1. the checkout that MICROPYTHON_DIR names (and MBEDTLS_DIR, where it has no lib/mbedtls);
   it is read, never written;
2. on Debian, the source packages, through a private apt state: the machine's own archive and
   keys with the suites changed, no package or list of the system touched. apt checks the
   signature and every hash; we check the hash again before we unpack;
3. elsewhere, a clone of the upstream tag, compared with the pins in firmware/versions.toml.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import BUILD, BuildError, cache_dir, clean_environment, locked, main, say, versions

# All of mbedTLS that a MicroPython build reads.
MBEDTLS_PARTS = ("library", "include", "3rdparty", "LICENSE")

# All of MicroPython that a host build reads, without the submodules.
CONTENT_PARTS = (
    *("py", "extmod", "shared", "drivers", "mpy-cross", "ports/unix", "tools"),
    *("lib/littlefs", "lib/oofatfs", "lib/re1.5", "lib/uzlib", "lib/crypto-algorithms", "lib/mbedtls_errors"),
)

APT_STRICT = (
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Get::AllowUnauthenticated=false",
    "APT::Update::Error-Mode=any",
    "Acquire::Languages=none",
    "Acquire::Retries=3",
)


def source(name):
    """The folder with the sources for the build `name`, ready to build from."""
    checkout = os.environ.get("MICROPYTHON_DIR")
    if checkout and name in ("stock", "stock32", "meter32"):
        return from_checkout(Path(checkout), os.environ.get("MBEDTLS_DIR"))
    wanted = versions()
    micropython = wanted["micropython"].get(name) or wanted["micropython"]["stock"]
    cache = cache_dir()
    with locked(cache / "lock"):
        if is_debian():
            return from_debian(cache, micropython, wanted["mbedtls"], wanted["debian"]["suites"])
        return from_git(cache, "v" + micropython["version"], wanted["git"])


# ---- 1: a checkout ----


def has_mbedtls(folder):
    return (folder / "include" / "mbedtls" / "ssl.h").is_file()


def from_checkout(checkout, mbedtls=None):
    """The checkout itself, or a tree of links to it with mbedTLS (and an empty library) added."""
    checkout = checkout.resolve()
    if not (checkout / "ports" / "unix" / "Makefile").is_file():
        raise BuildError(f"MICROPYTHON_DIR={checkout} is not a MicroPython checkout (no ports/unix/Makefile)")
    own = checkout / "lib" / "mbedtls"
    mbedtls = own if has_mbedtls(own) else Path(mbedtls).resolve() if mbedtls else None
    if mbedtls is None:
        raise BuildError(
            f"{own} is empty: run `git -C {checkout} submodule update --init lib/mbedtls`, "
            "or set MBEDTLS_DIR to an mbedTLS 3.6 checkout"
        )
    if not has_mbedtls(mbedtls):
        raise BuildError(f"MBEDTLS_DIR={mbedtls} is not an mbedTLS checkout (no include/mbedtls/ssl.h)")
    if mbedtls == own and (checkout / "lib" / "micropython-lib" / "README.md").is_file():
        return checkout

    tree = BUILD / "source" / "checkout"
    with locked(BUILD / "source" / "lock"):
        mark = tree / "origin.txt"
        origin = f"{checkout} {mbedtls}"
        if not mark.is_file() or mark.read_text() != origin:
            shutil.rmtree(tree, ignore_errors=True)
        link_tree(checkout, tree)
        if mbedtls != own:
            link_tree(mbedtls, tree / "lib" / "mbedtls")
        add_empty_library(tree)
        mark.write_text(origin)
    return tree


def link_tree(origin, copy):
    """`copy` with the folders of `origin` and a link for each file; made again, it follows the origin."""
    for folder, folders, files in os.walk(origin):
        folders[:] = [name for name in folders if name != ".git" and not name.startswith("build")]
        target = copy / Path(folder).relative_to(origin)
        target.mkdir(parents=True, exist_ok=True)
        for name in set(files) - set(os.listdir(target)):
            (target / name).symlink_to(Path(folder) / name)
    for folder, _, files in os.walk(copy):
        for path in (Path(folder) / name for name in files):
            if not path.exists():
                path.unlink()


def add_empty_library(tree):
    """MicroPython's makefiles only ask whether this file exists."""
    readme = tree / "lib" / "micropython-lib" / "README.md"
    readme.parent.mkdir(exist_ok=True)
    readme.touch()


# ---- 2: Debian's source packages ----


def is_debian():
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        return False
    return bool(re.search(r"^ID=[\"']?debian", release, re.M) and shutil.which("apt-get"))


def archive_entries(etc=Path("/etc/apt")):
    """(uri, keyring or None) of each Debian archive that the machine's apt uses, main suites only."""
    entries = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix == ".sources" and path.is_file():
            found = deb822_entries(path.read_text())
        elif path.suffix == ".list" and path.is_file():
            found = one_line_entries(path.read_text())
        else:
            continue
        entries += [entry for entry in found if entry not in entries]
    return entries


def is_main_archive(uri, suites, components):
    """An archive of Debian itself: not security, updates, backports, or someone else's."""
    plain = any(re.fullmatch(r"[a-z]+", suite) for suite in suites)
    return plain and "main" in components and uri.rstrip("/").endswith("/debian")


def deb822_entries(text):
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.M)):
        joined = re.sub(r"\n[ \t]+", " ", stanza)
        fields = {k.lower(): v.strip() for k, v in re.findall(r"^([\w-]+):[ \t]*(.*)$", joined, re.M)}
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        keyring = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            if is_main_archive(uri, fields.get("suites", "").split(), fields.get("components", "").split()):
                yield uri, keyring if keyring.startswith("/") else None


def one_line_entries(text):
    for line in text.splitlines():
        match = re.match(r"\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match and is_main_archive(match[2], [match[3]], match[4].split()):
            keyring = re.search(r"signed-by=(/\S+)", match[1] or "")
            yield match[2], keyring[1] if keyring else None


class Apt:
    """apt with its state in a folder of ours: it shares the system's configuration and keys only."""

    def __init__(self, state, entries, suites, kind="deb-src"):
        """`kind` is apt's: "deb-src" for source packages, "deb" for binary ones."""
        self.state = state
        for folder in ("lists/partial", "cache/archives/partial", "empty"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        lines = []
        for uri, keyring in entries:
            options = f"[signed-by={keyring}] " if keyring else ""
            lines += [f"{kind} {options}{uri} {suite} main\n" for suite in suites]
        (state / "sources.list").write_text("".join(lines))
        self.options = [
            *(f"Dir::Etc::SourceList={state}/sources.list", f"Dir::Etc::SourceParts={state}/empty"),
            *(f"Dir::State={state}", f"Dir::State::Lists={state}/lists", f"Dir::Cache={state}/cache"),
            *("Dir::State::status=/var/lib/dpkg/status", "APT::Sandbox::User=root", *APT_STRICT),
        ]

    def run(self, program, *words, cwd=None):
        command = [program, "-q", *(part for option in self.options for part in ("-o", option)), *words]
        done = subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, text=True)
        if done.returncode:
            reason = "\n".join(line for line in done.stderr.splitlines() if line[:2] in ("E:", "W:", "Er"))
            raise BuildError(f"{program} {words[0]} refused:\n{reason or done.stderr}")
        return done.stdout

    def update(self):
        say("reading Debian's indexes (with the machine's own archive keys)")
        self.run("apt-get", "update")

    def candidates(self, package):
        """[(Debian version, {file name: SHA-256})] from the signed indexes."""
        found = []
        for record in self.run("apt-cache", "showsrc", "--only-source", package).split("\n\n"):
            version = re.search(r"^Version: (\S+)", record, re.M)
            sums = re.search(r"^Checksums-Sha256:[ \t]*\n((?:[ \t]+.*\n?)+)", record, re.M)
            if version and sums:
                files = {line.split()[2]: line.split()[0] for line in sums[1].splitlines()}
                found.append((version[1], files))
        return found

    def binary_candidates(self, package):
        """[(Debian version, SHA-256)] of a binary package, from the signed indexes."""
        found = []
        for record in self.run("apt-cache", "show", package).split("\n\n"):
            version = re.search(r"^Version: (\S+)", record, re.M)
            digest = re.search(r"^SHA256: (\S+)", record, re.M)
            if version and digest:
                found.append((version[1], digest[1]))
        return found


def upstream(version):
    """Debian's `1:1.26.1+ds-1` is upstream's `1.26.1`."""
    return re.match(r"(?:\d+:)?([\d.]+)", version)[1]


def choose(candidates, wanted, package):
    """The candidate of the wanted version, else the first accepted; of those, the newest."""
    key = lambda item: [int(n) for n in re.findall(r"\d+", item[0])]  # noqa: E731
    for prefix in (wanted["version"], *wanted["accepted"]):
        matching = [item for item in candidates if (upstream(item[0]) + ".").startswith(prefix + ".")]
        if matching:
            return max(matching, key=key)
    have = ", ".join(sorted({version for version, _ in candidates})) or "none"
    raise BuildError(
        f"no package {package} {wanted['version']} (or {', '.join(wanted['accepted'])}) in Debian: "
        f"found {have}. Set MICROPYTHON_DIR to a checkout"
    )


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tarball(apt, downloads, package, version, files):
    """The upstream tarball of a source package in `downloads`, its hash that of the signed index."""
    name = next(name for name in files if ".orig.tar." in name and not name.endswith(".asc"))
    command = ("source", "--download-only", "--tar-only")
    return download(apt, command, package, version, downloads / name, files[name])


def binary_package(apt, downloads, package, version, digest):
    """A binary package in `downloads`, its hash that of the signed index."""
    path = downloads / f"{package}_{version.replace(':', '%3a')}.deb"
    return download(apt, ("download",), package, version, path, digest)


def download(apt, command, package, version, path, digest):
    """`path`, fetched by apt-get unless it is there; refused unless its SHA-256 is `digest`."""
    if not path.exists():
        say(f"downloading {package} {version}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as fresh:
            try:
                apt.run("apt-get", *command, f"{package}={version}", cwd=fresh)
            except BuildError as error:
                # The archive moves on; the next run reads what it has now.
                shutil.rmtree(apt.state / "lists", ignore_errors=True)
                raise BuildError(f"{error}\nIf the archive moved on, make it again") from None
            (fetched,) = Path(fresh).iterdir()
            os.replace(fetched, path)
    found = sha256(path)
    if found != digest:
        raise BuildError(
            f"{path} is not what the signed index promises: SHA-256 is {found}, expected {digest}. "
            "Remove the file and run make again"
        )
    return path


def unpack(archive, folder, parts=None):
    """The archive's one top folder becomes `folder`; with `parts` these of it only."""
    folder.mkdir(parents=True)
    command = ["tar", "-x", "--no-same-owner", "--strip-components=1", "-C", folder, "-f", archive]
    if parts:
        command += ["--wildcards", "--no-wildcards-match-slash", *(f"*/{part}" for part in parts)]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{archive} does not unpack: {done.stderr.strip()}")


def from_debian(cache, micropython, mbedtls, suites, entries=None):
    """MicroPython's source package with mbedTLS's at lib/mbedtls."""
    entries = archive_entries() if entries is None else entries
    if not entries:
        raise BuildError(
            "apt's sources hold no Debian archive: add one, "
            "or set MICROPYTHON_DIR and MBEDTLS_DIR to checkouts"
        )
    apt = Apt(cache / "apt", entries, suites)
    if not any((cache / "apt" / "lists").glob("*Sources*")):
        apt.update()
    wanted = {"micropython": micropython, "mbedtls": mbedtls}
    chosen = [(package, *choose(apt.candidates(package), wanted[package], package)) for package in wanted]
    tree = cache / "source" / "_".join(f"{package}-{upstream(version)}" for package, version, _ in chosen)
    if tree.is_dir():
        return tree
    archives = [tarball(apt, cache / "downloads", *item) for item in chosen]
    say(f"unpacking {tree.name}")
    fresh = new_folder(tree)
    unpack(archives[0], fresh)
    shutil.rmtree(fresh / "lib" / "mbedtls", ignore_errors=True)
    unpack(archives[1], fresh / "lib" / "mbedtls", MBEDTLS_PARTS)
    add_empty_library(fresh)
    fresh.rename(tree)
    return tree


def new_folder(tree):
    """Where `tree` is made; it gets its name when it is whole."""
    fresh = tree.with_name(tree.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


# ---- 3: upstream's tag ----


def git(*words, cwd=None):
    done = subprocess.run(["git", *map(str, words)], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def content_digest(tree):
    """SHA-256 over the path and git blob of every file of CONTENT_PARTS, sorted by path."""
    parts = [part for part in CONTENT_PARTS if (tree / part).is_dir()]
    paths = sorted(
        path.relative_to(tree).as_posix()
        for part in parts
        for path in (tree / part).rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    stdin = "\n".join(paths) + "\n"
    command = ["git", "hash-object", "--no-filters", "--stdin-paths"]
    done = subprocess.run(command, cwd=tree, input=stdin, capture_output=True, text=True, check=True)
    lines = zip(done.stdout.split(), paths, strict=True)
    return hashlib.sha256("".join(f"{blob} {path}\n" for blob, path in lines).encode()).hexdigest()


def from_git(cache, tag, pins):
    """A shallow clone of the tag, with lib/mbedtls, if it is the one that the pins describe."""
    pin = pins["tags"][tag]
    tree = cache / "source" / f"git-{tag}"
    if tree.is_dir():
        return tree
    say(f"cloning {pins['url']} at {tag}")
    fresh = new_folder(tree)
    quiet = ("-c", "advice.detachedHead=false", "-c", "core.autocrlf=false")
    git(*quiet, "clone", "--quiet", "--depth=1", "--branch", tag, pins["url"], fresh)
    found = content_digest(fresh)
    if found != pin["content"]:
        raise BuildError(
            f"{tag} of {pins['url']} is not the source that we know: "
            f"content digest {found}, expected {pin['content']}"
        )
    commit = git("ls-tree", "HEAD", "lib/mbedtls", cwd=fresh).split()[2]
    if commit != pin["mbedtls"]:
        raise BuildError(f"{tag} has mbedTLS commit {commit}, expected {pin['mbedtls']}")
    # git checks that what it fetches has this commit's hash.
    git("submodule", "--quiet", "update", "--init", "--depth=1", "lib/mbedtls", cwd=fresh)
    add_empty_library(fresh)
    fresh.rename(tree)
    return tree


if __name__ == "__main__":
    main(lambda name: print(source(name)))
