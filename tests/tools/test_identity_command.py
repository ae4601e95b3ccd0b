"""The command `securesocket identity …`: passwords, the terminal, the program, and its documentation."""

import os
import pty
import re
import shlex
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certstore.store import CertStore
from plugins.identity import CA_PASSWORD, OTHER, PASSWORD, certificates, fails, openssl, run, stored, write
from plugins.interpreters import ROOT, binary
from plugins.peers import PythonServer
from plugins.pki import Member
from securesocket_cli import (
    identity_commands,
    identity_files,
    identity_output,
    identity_store,
    issuing,
    passwords,
)
from securesocket_cli.errors import CommandError

FILE_ITERATIONS = identity_files.FILE_ITERATIONS  # before the tests lower it


@pytest.fixture(autouse=True)
def folder(identity_folder):
    return identity_folder


# ---- passwords


def test_where_passwords_come_from(ca, monkeypatch):
    monkeypatch.setenv("SECURESOCKET_PASSWORD", PASSWORD)
    monkeypatch.setenv("SECURESOCKET_CA_PASSWORD", CA_PASSWORD)
    run("new", "--name", "a", "--ca", "ca.crt", "--out", "a")
    openssl("pkey", "-in", "a.key", "-passin", "file:pw", "-noout")
    # A file comes before the environment, --plain before both.
    run("new", "--name", "b", "--ca", "ca.crt", "--out", "b", "--password-file", "otherpw")
    openssl("pkey", "-in", "b.key", "-passin", "file:otherpw", "-noout")
    run("new", "--name", "c", "--ca", "ca.crt", "--out", "c", "--plain")
    openssl("pkey", "-in", "c.key", "-noout")
    monkeypatch.setenv("SECURESOCKET_PASSWORD", "")
    text = fails("new", "--name", "d", "--ca", "ca.crt", "--out", "d")
    assert "SECURESOCKET_PASSWORD: found nothing; expected one line" in text


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"", "nothing"), (b"\n", "nothing"), (b"a\nb\n", "several lines"), (b"x" * 4097, "4097 bytes")],
)
def test_password_files_that_are_refused(folder, data, found):
    (folder / "bad").write_bytes(data)
    text = fails("new-ca", "--name", "x", "--password-file", "bad")
    assert f"bad: found {found}; expected one line with a password" in text
    assert "gone: No such file" in fails("new-ca", "--name", "x", "--password-file", "gone")


@pytest.mark.parametrize("data", [b"p w\xc3\xa4", b"p w\xc3\xa4\n", b"p w\xc3\xa4\r\n"])
def test_the_line_of_a_password_file_is_the_password(folder, data):
    (folder / "file").write_bytes(data)
    assert passwords.read(passwords.OWN, "file", "x") == b"p w\xc3\xa4"
    with pytest.raises(CommandError):
        passwords.read(passwords.OWN, None, "x")


def program(*words, **how):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "securesocket_cli", "identity", *words]
    return subprocess.Popen(command, env=environment, **how)


def talk(words, *answers):
    """(exit status, what the terminal showed) of a command that is answered when it asks."""
    ours, theirs = pty.openpty()
    process = program(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown, left, deadline = b"", list(answers), time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            piece = os.read(ours, 1024)
        except OSError:  # the other end is closed
            break
        shown += piece
        if left and shown.endswith(b": "):
            os.write(ours, left.pop(0).encode() + b"\n")
            shown += b"\n"
    os.close(ours)
    return process.wait(10), shown.decode()


def test_a_terminal_is_asked_twice_and_shows_nothing(folder):
    status, shown = talk(("new-ca", "--name", "My CA"), PASSWORD, OTHER, PASSWORD, PASSWORD)
    assert status == 0, shown
    assert shown.count("New password for the key of My CA: ") == 2 and shown.count("Repeat") == 2
    assert "do not match" in shown
    assert PASSWORD not in shown and OTHER not in shown
    openssl("pkey", "-in", "ca.key", "-passin", "file:pw", "-noout")
    status, shown = talk(("new", "--name", "x", "--ca", "ca.crt", "--out", "x", "--plain"), OTHER)
    assert status == 1 and "securesocket: ca.key: wrong password" in shown
    assert "Password for the key in ca.key: " in shown and OTHER not in shown
    assert not (folder / "x.key").exists()


def test_as_a_program(folder):
    def done(*words):
        process = program(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.decode(), err.decode()

    status, out, err = done("new-ca", "--name", "x", "--password-file", "pw")
    assert status == 0 and err == "" and "ca.crt" in out
    status, out, err = done("list")
    assert status == 1 and out == "" and err.startswith("securesocket: device.bin: ")
    assert err.count("\n") == 1 and "Traceback" not in err
    assert done("mint")[0] == 2
    assert done("new", "--name", "x", "--password", "secret")[0] == 2, "no password on the command line"


def test_every_verb_has_help():
    for verb in (row.verb for row in identity_commands.COMMANDS):
        text = run(verb, "--help")
        assert "Usage: " in text and "--help" in text
        assert not re.search(r"--\S*password(?!-file)", text), "a password would be an argument"


def test_no_secret_is_in_an_exception(chain, monkeypatch):
    """Not in its text, nor in those that it was raised from."""
    write("enc.pem", chain[0], key=chain[0], password=OTHER.encode())
    with pytest.raises(CommandError) as caught:
        identity_files.read(["enc.pem"], lambda what: PASSWORD.encode())
    error = caught.value
    while error:
        assert PASSWORD not in str(error) + repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "correct" not in repr(issuing.Authority(chain[0].key, ()))


# ---- the documentation

PAGE = (ROOT / "docs" / "identities.md").read_text()
# How openssl is given the password that it would ask for.
ASKED = {
    "req": ("-passin",),
    "pkey": ("-passin",),
    "pkcs12": ("-passin", "-passout"),
    "verify": (),
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def environment(monkeypatch):
    """Every password in the environment: what is typed in the documentation works without a terminal."""
    for role in (passwords.OWN, passwords.CA, passwords.SOURCE, passwords.NEW):
        monkeypatch.setenv(role.variable, PASSWORD)


def test_the_commands_of_the_documentation_work_one_after_another(environment):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    seen = set()
    for line in lines:
        words = shlex.split(line)
        if words[0] == "securesocket":
            assert words[1] == "identity"
            run(*words[2:])
            seen.add(words[2])
        elif words[0] == "openssl":
            given = [word for option in ASKED[words[1]] for word in (option, "env:SECURESOCKET_PASSWORD")]
            openssl(*words[1:], *given)
        else:
            assert words[:2] == ["mpremote", "cp"], line
    assert seen == {"new-ca", "new", "csr", "sign", "import", "export", "password"}


ECHO = """
assert s.authorized
s.write(b"x")
assert s.read(1) == b"x"
"""


def test_the_program_of_the_documentation_presents_the_identity(environment, folder):
    """On the Unix port, in place of a board, with a server that asks for a certificate of the CA."""
    for line in blocks("sh")[0].splitlines():
        if line.startswith("securesocket"):
            run(*shlex.split(line)[2:])
    run("new", "--name", "broker", "--host", "localhost", "--ca", "ca.crt", "--out", "server", "--plain")
    key = load_pem_private_key((folder / "server.key").read_bytes(), None)
    chain = [Member(certificates("server.crt")[0].public_bytes(Encoding.DER), key)]
    server = PythonServer(folder, chain, client_ca=(folder / "ca.crt").read_bytes())
    program, changes = blocks("python")
    program = program.replace("the password of device-17", PASSWORD)
    program = program.replace('"broker.example", 8883', f'"localhost", {server.port}')
    paths = [str(ROOT / "lib" / package) for package in ("certstore", "securesocket")]
    try:
        done = subprocess.run(
            [binary("stock"), "-X", "heapsize=2M", "-c", program + ECHO + changes],
            env={**os.environ, "MICROPYPATH": ":".join(paths)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown = list(server.peers.values())
    finally:
        server.stop()
    assert shown == stored()["device-17"].chain
    # What the second program has added, under its own password.
    opened = CertStore(str(folder / "device.bin"))
    assert opened.unlock(b"another", "gateway") == 1 and opened.identity_count == 2


def test_the_documentation_names_every_verb():
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.M))
    assert rows == {row.verb for row in identity_commands.COMMANDS}


def test_the_figures_of_the_documentation():
    for figure in (
        f"| {identity_output.DEVICE_ITERATIONS:,} |",
        f"| {identity_output.UNASKED_ITERATIONS:,} |",
        f"| {FILE_ITERATIONS:,} |",
        f"valid for {issuing.CA_DAYS} days, an identity for {issuing.LEAF_DAYS}",
        f"1 to {identity_store.MAX_LABEL} bytes",
    ):
        assert figure in PAGE, figure
