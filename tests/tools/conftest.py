"""Fixtures of several modules here."""

import pytest

from plugins import identity
from plugins.pico import pico, romfs  # noqa: F401  (pytest finds them here)
from plugins.pki import DAY, NOW, make
from securesocket_cli import identity_files, passwords


@pytest.fixture
def identity_folder(tmp_path, monkeypatch):
    """Where `identity` runs, with files of passwords; keys in files are derived quickly."""
    monkeypatch.chdir(tmp_path)
    for role in (passwords.OWN, passwords.CA, passwords.SOURCE, passwords.NEW):
        monkeypatch.delenv(role.variable, raising=False)
    monkeypatch.setattr(identity_files, "FILE_ITERATIONS", 1000)
    (tmp_path / "pw").write_text(identity.PASSWORD + "\n")
    (tmp_path / "capw").write_text(identity.CA_PASSWORD)
    (tmp_path / "otherpw").write_text(identity.OTHER + "\n")
    return tmp_path


@pytest.fixture
def ca(identity_folder):
    """ca.crt and ca.key in the folder; the certificate."""
    member = make("My CA", ca=True, not_before=NOW - DAY, not_after=NOW + 3650 * DAY)
    identity.write("ca.crt", member)
    (identity_folder / "ca.key").write_bytes(member.private(password=identity.CA_PASSWORD.encode()))
    return member.certificate


@pytest.fixture(scope="session")
def chain():
    """A device's chain: leaf, two intermediates, root."""
    root = make("Root", ca=True)
    first = make("First", root, ca=True)
    second = make("Second", first, ca=True)
    return [make("device-17", second, hosts=()), second, first, root]
