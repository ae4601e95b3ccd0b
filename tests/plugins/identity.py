"""What the tests of `securesocket identity` share: the command with its passwords, and OpenSSL beside it."""

import pathlib
import subprocess

from cryptography import x509

from certstore.store import CertStore
from plugins import command

PASSWORD, CA_PASSWORD, OTHER = "correct horse 1", "battery staple 2", "another one 3"
# The options that name files with these; `identity_folder` makes the files.
OWN = ("--password-file", "pw")
CA = ("--ca", "ca.crt", "--ca-password-file", "capw")
FEW = ("--iterations", 1000)


def run(*words, status=0):
    """Standard output of `identity …`, or standard error if it should fail. No password is in either."""
    text = command.run("identity", *words, status=status)
    assert not any(secret in text for secret in (PASSWORD, CA_PASSWORD, OTHER))
    return text


def fails(*words):
    """What a command says that fails, and has written nothing."""
    before = _contents()
    text = run(*words, status=1)
    assert _contents() == before, "something was written"
    return text


def _contents():
    return {path: path.read_bytes() for path in pathlib.Path().rglob("*") if path.is_file()}


def openssl(*words):
    """What `openssl …` prints."""
    done = _openssl(words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def openssl_agrees(*words):
    """Whether `openssl …` succeeds."""
    return _openssl(words).returncode == 0


def _openssl(words):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=30)


def certificates(path):
    """The certificates of a PEM file, as `cryptography` reads them."""
    return x509.load_pem_x509_certificates(pathlib.Path(path).read_bytes())


def write(path, *members, key=None, password=None):
    """A PEM file of members' certificates, and of one member's key."""
    data = b"".join(member.pem for member in members)
    pathlib.Path(path).write_bytes(data + (key.private(password=password) if key else b""))


def stored(path="device.bin"):
    """The identities of a store by label."""
    store = CertStore(pathlib.Path(path).read_bytes())
    store.verify()
    found = [store.identity(number) for number in range(store.identity_count)]
    return {identity.label: identity for identity in found}
