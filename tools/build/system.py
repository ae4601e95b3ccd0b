"""What the machine itself must have: programs, a 32-bit C library, libfaketime; for a firmware, its compiler.

As root on Debian this installs what is missing. Anything still missing is told in one line,
with the command that installs it.
"""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from common import BUILD, ROOT, BuildError, clean_environment, main, say


def has_32bit_compiler():
    """Whether gcc -m32 links: gcc-multilib has no program of its own to look for."""
    if not shutil.which("gcc"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "main.c"
        program.write_text("#include <stdlib.h>\nint main(void) { return 0; }\n")
        command = ["gcc", "-m32", str(program), "-o", str(Path(folder) / "main")]
        return subprocess.run(command, capture_output=True).returncode == 0


def has_libfaketime():
    places = [Path("/usr/lib"), Path("/usr/local/lib"), Path("/opt/homebrew/lib")]
    return any(found for place in places for found in place.glob("**/libfaketime.so.1"))


def has_venv():
    """A Python without ensurepip makes environments only if it has pip itself."""
    return bool(find_spec("venv") and (find_spec("ensurepip") or find_spec("pip")))


def program(name):
    # Debian's daemons lie where only root's path leads.
    return lambda: shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") is not None


# (what is missing, how to see it, Debian's package)
NEEDS = (
    ("gcc", program("gcc"), "gcc"),
    ("the C library's headers", lambda: Path("/usr/include/stdlib.h").exists(), "libc6-dev"),
    ("gcc -m32", has_32bit_compiler, "gcc-multilib"),
    ("git", program("git"), "git"),
    ("tar", program("tar"), "tar"),
    ("xz", program("xz"), "xz-utils"),
    ("bzip2", program("bzip2"), "bzip2"),
    ("Python's venv", has_venv, "python3-venv"),
    ("openssl", program("openssl"), "openssl"),
    ("gnutls-serv", program("gnutls-serv"), "gnutls-bin"),
    ("coap-client", program("coap-client-openssl"), "libcoap3-bin"),
    ("faketime", program("faketime"), "faketime"),
    ("libfaketime", has_libfaketime, "libfaketime"),
    ("slirp-fullbolt", program("slirp-fullbolt"), "slirp"),
    ("unshare", program("unshare"), "util-linux"),
    ("hostname", program("hostname"), "hostname"),
)


def arm_library(name):
    """Whether the Arm compiler finds this file: it prints a bare name back when it does not."""

    def present():
        if not shutil.which("arm-none-eabi-gcc"):
            return False
        command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", f"-print-file-name={name}"]
        return Path(subprocess.run(command, capture_output=True, text=True).stdout.strip()).is_absolute()

    return present


# For firmware of the port rp2, asked for only when one is built.
RP2_NEEDS = (
    ("arm-none-eabi-gcc", program("arm-none-eabi-gcc"), "gcc-arm-none-eabi"),
    ("newlib for Arm", arm_library("libc.a"), "libnewlib-arm-none-eabi"),
    ("libstdc++ for Arm", arm_library("libstdc++.a"), "libstdc++-arm-none-eabi-newlib"),
    ("cmake", program("cmake"), "cmake"),
)
# The Pico SDK compiles pioasm for the host, which makes a header for the radio's driver.
RADIO_NEEDS = (*RP2_NEEDS, ("g++", program("g++"), "g++"))


# (program, Debian's package) of what would push out a service of this machine if it were installed, as a
# time daemon does with another. Unpacked instead; its libraries come with apt and gnutls-bin.
PROGRAMS = BUILD / "programs"
UNPACKED = (("chronyd", "chrony"),)


def unpacked(name):
    """The path of a program of UNPACKED: the machine's own, or ours; None if there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", str(PROGRAMS / "usr" / "sbin")))
    return shutil.which(name, path=path)


def missing(needs=NEEDS):
    return [(what, package) for what, present, package in needs if not present()]


def install_command(packages):
    return "apt-get install --no-install-recommends " + " ".join(sorted(packages))


def complaint(found):
    """The one line, with a command for Debian and names for everyone else."""
    names = ", ".join(what for what, _ in found)
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"missing: {names}. Install with: {sudo}{install_command({package for _, package in found})}"


def can_install():
    return os.geteuid() == 0 and shutil.which("apt-get") and Path("/etc/debian_version").exists()


def install(packages):
    env = clean_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    say(install_command(packages))
    lists = Path("/var/lib/apt/lists")
    if not any(lists.glob("*Packages*")):
        subprocess.run(["apt-get", "-q", "-q", "update"], env=env, check=False)
    command = ["apt-get", "-q", "-q", "-y", *install_command(packages).split()[1:]]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        # Lists older than the archive name packages that are gone.
        subprocess.run(["apt-get", "-q", "-q", "update"], env=env, check=False)
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        say(done.stderr.strip())


def unpack(name, package):
    """Take Debian's package apart in PROGRAMS. Needs no root, and changes nothing elsewhere."""
    if not shutil.which("apt-get"):
        raise BuildError(f"missing: {name}. Install it; the tests start their own, on a port of theirs")
    say(f"unpacking {name} in {PROGRAMS.relative_to(ROOT)}")
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:

        def run(*command):
            env = clean_environment()
            return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

        done = run("apt-get", "-q", "download", package)
        if done.returncode and os.geteuid() == 0:
            # Lists that are not there, or older than the archive.
            run("apt-get", "-q", "-q", "update")
            done = run("apt-get", "-q", "download", package)
        if not done.returncode:
            done = run("dpkg-deb", "--extract", *map(str, Path(folder).glob("*.deb")), str(PROGRAMS))
        if done.returncode:
            raise BuildError(f"{' '.join(done.args[:4])} failed: {done.stderr.strip()}")


def check(needs=NEEDS):
    found = missing(needs)
    if found and can_install():
        install({package for _, package in found})
        found = missing(needs)
    if found:
        raise BuildError(complaint(found))
    if needs is NEEDS:
        for name, package in UNPACKED:
            if not unpacked(name):
                unpack(name, package)


if __name__ == "__main__":
    main(check)
