"""The command `securesocket store …`: through click's runner, and once as a program."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from certstore import pem  # noqa: E402
from certstore.certificate import Certificate  # noqa: E402
from certstore.store import CertStore  # noqa: E402
from securesocket_cli import entries, store_commands, store_files  # noqa: E402
from securesocket_cli.errors import CommandError  # noqa: E402
from securesocket_cli.main import cli  # noqa: E402

CERTIFICATES = ROOT / "tests" / "vectors" / "certificates"
X1_SKI = "79b459e67bb6e5e40173800888c81a58f6e99b6e"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


def run(*words, status=0):
    """Standard output of a command, or standard error if it should fail."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, result.output
    if status:
        assert result.stdout == "" and result.stderr.startswith("securesocket: ")
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.stderr
    return result.stdout


def der(stem):
    return (CERTIFICATES / f"{stem}.der").read_bytes()


def opened(path="roots.bin"):
    store = CertStore(pathlib.Path(path).read_bytes())
    store.verify()
    return {bytes(store.certificate(number)) for number in range(len(store))}


def test_build_of_mozillas_roots(folder):
    assert re.match(r"roots\.bin: 117 certificates, \d+ bytes, build time 2", run("store", "build"))
    assert len(opened()) == 117
    assert [path.name for path in folder.iterdir()] == ["roots.bin"]


def test_build_repeats(folder, monkeypatch):
    run("store", "build", "--out", "a.bin", "--build-time", "1767225600")
    run("store", "build", "--out", "b.bin", "--build-time", "2026-01-01")
    run("store", "build", "--out", "c.bin", "--build-time", "2026-01-01T02:00:00+02:00")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    run("store", "build", "--out", "d.bin")
    blobs = {(folder / name).read_bytes() for name in ("a.bin", "b.bin", "c.bin", "d.bin")}
    assert len(blobs) == 1 and CertStore(blobs.pop()).build_time == 1767225600
    for time in ("yesterday", "-1", "253402300800"):
        assert "build time" in run("store", "build", "--build-time", time, status=1)


def test_build_of_files_and_folders(folder):
    bundle = folder / "mine" / "bundle.pem"
    bundle.parent.mkdir()
    bundle.write_text("# two\n" + pem.encode(der("rsa_root")) + pem.encode(der("ec_root")))
    (folder / "mine" / "one.CRT").write_bytes(der("twin_a"))
    (folder / "mine" / "again.der").write_bytes(der("ec_root"))
    (folder / "mine" / "broken.cer").write_bytes(der("twin_b")[:-1])
    (folder / "mine" / "readme.txt").write_text("not looked at")
    text = run("store", "build", "--no-mozilla", "--add", "mine", "--add", CERTIFICATES / "leaf.der")
    assert opened() == {der("rsa_root"), der("ec_root"), der("twin_a"), der("leaf")}
    assert "skipped mine/broken.cer: DER data ends inside an element" in text
    assert "skipped EC Root of mine/bundle.pem: the same as that of mine/again.der" in text
    assert "note: leaf is no CA that may sign: it stands for itself only" in text
    assert "roots.bin: 4 certificates" in text


def test_build_refuses_what_it_was_told_to_add(folder):
    (folder / "broken.pem").write_text(pem.encode(der("leaf"))[:-40])
    assert "broken.pem: PEM block has no matching" in run("store", "build", "--add", "broken.pem", status=1)
    assert "none.der: No such file" in run("store", "build", "--add", "none.der", status=1)
    (folder / "empty").mkdir()
    assert "empty: no certificate" in run("store", "build", "--add", "empty", status=1)
    assert "a store of nothing" in run("store", "build", "--no-mozilla", status=1)
    assert not (folder / "roots.bin").exists()


def test_expired_certificates_are_told(folder):
    run_text = run("store", "build", "--only", "ISRG Root X1", "--build-time", "2036-01-01")
    assert "note: ISRG Root X1 expired 2035-06-04T11:04:38Z" in run_text


def test_only(folder):
    path = folder / "x2.pem"
    found = {entry.title: entry for entry in entries.mozilla()[0]}
    path.write_text(pem.encode(found["ISRG Root X2"].der))
    words = ("--only", "isrg root x1", "--only", path, "--only", ":".join(re.findall("..", X1_SKI.upper())))
    text = run("store", "build", *words)
    assert opened() == {found["ISRG Root X1"].der, found["ISRG Root X2"].der}
    assert f"{X1_SKI}  ISRG Root X1" in text
    whole = found["GTS Root R1"].subject
    run("store", "build", "--only", whole, "--only", found["GTS Root R4"].certificate.fingerprint().hex())
    assert opened() == {found["GTS Root R1"].der, found["GTS Root R4"].der}


def test_only_that_names_nothing(folder):
    text = run("store", "build", "--only", "ISRG Root X1", "--only", "ISRG Rot X2", status=1)
    assert 'no certificate "ISRG Rot X2"' in text and "nearest: ISRG Root X2" in text
    # A part of a name never chooses who is trusted.
    assert "nearest: ISRG Root X1" in run("store", "build", "--only", "ISRG", status=1)
    assert "\\1B[2J" in run("store", "build", "--only", "\x1b[2J", status=1)
    assert not (folder / "roots.bin").exists()


def test_module(folder):
    run("store", "build", "--module", "frozen/roots.py", "--build-time", "5", "--only", "ISRG Root X1")
    assert [path.name for path in folder.rglob("*")] == ["frozen", "roots.py"]
    source = (folder / "frozen" / "roots.py").read_text()
    spaces = {}
    exec(compile(source, "roots.py", "exec"), spaces)
    assert isinstance(spaces["DATA"], bytes)
    CertStore(spaces["DATA"]).verify()
    run("store", "build", "--module", "m.py", "--out", "m.bin", "--build-time", "5", "--only", "ISRG Root X1")
    assert (folder / "m.bin").read_bytes() == spaces["DATA"]


def test_a_failed_write_leaves_the_old_store(folder, monkeypatch):
    run("store", "build", "--only", "ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "roots.bin: No space left" in run("store", "build", status=1)
    assert (folder / "roots.bin").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["roots.bin"]


def test_find(folder):
    text = run("store", "find", "ISRG Root X1")
    assert "CN=ISRG Root X1,O=Internet Security Research Group,C=US" in text and X1_SKI in text
    assert "2015-06-04T11:04:38Z to 2035-06-04T11:04:38Z" in text and "RSA 4096" in text
    assert "96bcec06264976f37460779acf28c5a7cfe8a3c0aae11a8ffcee05c0bddf08c6" in text
    for query in (X1_SKI, X1_SKI.upper(), ":".join(re.findall("..", X1_SKI)), "isrg root x1"):
        assert run("store", "find", query) == text
    found = json.loads(run("store", "find", "ISRG", "--json"))
    assert [each["ski"] for each in found][:1] == [X1_SKI] and len(found) == 2
    text = run("store", "find", "ISRG Root X3", status=1)
    assert "ISRG Root X1" in text and "Mozilla's roots" in text
    run("store", "find", "", status=1)


def test_find_by_file(folder):
    words = ("--no-mozilla", "--add", CERTIFICATES / "rsa_root.der", "--add", CERTIFICATES / "leaf.der")
    run("store", "build", *words)
    assert "subject  CN=leaf" in run("store", "find", CERTIFICATES / "leaf.der")
    text = run("store", "find", CERTIFICATES / "intermediate.der")
    assert "this may have issued it: RSA Root" in text
    text = run("store", "find", CERTIFICATES / "ec_root.der", status=1)
    assert "roots.bin holds neither EC Root nor who issued it" in text
    (folder / "junk").write_text("junk")
    assert "junk: DER" in run("store", "find", "junk", status=1)


def test_the_store_here_comes_before_mozillas(folder):
    assert len(json.loads(run("store", "list", "--json"))["certificates"]) == 117
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "ec_root.der")
    assert run("store", "list").endswith("1 certificates in roots.bin\n")
    os.rename("roots.bin", "other.bin")
    assert len(json.loads(run("store", "list", "--store", "other.bin", "--json"))["certificates"]) == 1
    assert "gone.bin: No such file" in run("store", "list", "--store", "gone.bin", status=1)


def test_list_and_info(folder):
    run("store", "build", "--add", CERTIFICATES / "leaf.der", "--build-time", "7")
    lines = run("store", "list").splitlines()
    assert len(lines) == 120 and any(X1_SKI in line and "ISRG Root X1" in line for line in lines)
    facts = json.loads(run("store", "info", "--json"))
    assert (facts["certificates"], facts["anchors"], facts["exact"]) == (118, 117, 1)
    assert facts["version"] == 1 and facts["verified"] is True
    assert facts["build_time"] == "1970-01-01T00:00:07Z"
    assert facts["bytes"] == (folder / "roots.bin").stat().st_size
    assert "certificates    118\n" in run("store", "info")


def test_a_damaged_store_is_refused(folder):
    run("store", "build", "--only", "ISRG Root X1")
    data = bytearray((folder / "roots.bin").read_bytes())
    data[-100] ^= 1
    (folder / "roots.bin").write_bytes(data)
    for words in (("list",), ("info",), ("find", "ISRG Root X1")):
        assert "roots.bin: the store's checksum does not hold" in run("store", *words, status=1)
    (folder / "text").write_text("text")
    assert "text: this is not a certificate store" in run("store", "info", "--store", "text", status=1)


def test_names_are_printed_escaped(folder):
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "bidi_name.der")
    for words in (("list",), ("find", "hidden"), ("list", "--json"), ("find", "hidden", "--json")):
        text = run("store", *words)
        assert "\\u{202E}" in text.replace("\\\\", "\\") and "[2J" in text
        assert not set(text) & set("\x1b\x07\u202e\u202c\u200b")
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "long_name.der")
    assert max(map(len, run("store", "find", "xxx").splitlines())) < 140


def test_squares_in_names_are_no_markup(folder):
    from certstore.der import encode

    name = b"[red]x[/nothing]"
    der_ = der("ec_root").replace(encode(0x0C, b"EC Root"), encode(0x0C, name[:7]))
    assert der_ != der("ec_root")
    (folder / "x.der").write_bytes(der_)
    run("store", "build", "--no-mozilla", "--add", "x.der")
    assert "[red]x[" in run("store", "list")


def test_handlers_are_functions():
    built = store_files.build(only=["ISRG Root X1"], build_time=3)
    assert [entry.title for entry in built.entries] == ["ISRG Root X1"]
    assert Certificate(built.entries[0].der).may_issue
    assert store_commands.parse_build_time("12") == 12
    with pytest.raises(CommandError):
        store_files.open_store("no-such-store.bin")


def test_as_a_program(folder):
    def program(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "securesocket_cli", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = program("store", "build", "--out", "roots.bin")
    assert done.returncode == 0 and done.stderr == ""
    done = program("store", "find", "ISRG Root X1")
    assert done.returncode == 0 and X1_SKI in done.stdout
    done = program("store", "find", "no such root")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith('securesocket: no certificate "no such root" in roots.bin')
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    assert program("store", "brew").returncode == 2
