"""The command `securesocket store build|list|show|find`: through click's runner, and once as a program."""

import binascii
import os
import pathlib
import re
import subprocess
import sys

import pytest

from certstore import pem
from certstore.certificate import Certificate
from certstore.store import CertStore
from plugins.command import facts, run
from plugins.interpreters import ROOT
from securesocket_cli import entries, store_commands, store_files
from securesocket_cli.errors import CommandError

CERTIFICATES = ROOT / "tests" / "vectors" / "certificates"
X1_SKI = "79b459e67bb6e5e40173800888c81a58f6e99b6e"
X1_SHA256 = "96bcec06264976f37460779acf28c5a7cfe8a3c0aae11a8ffcee05c0bddf08c6"
X1_PIN = "0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


def der(stem):
    return (CERTIFICATES / f"{stem}.der").read_bytes()


def held(path="roots.bin"):
    """The subjects and keys of a store that is sound."""
    store = CertStore(pathlib.Path(path).read_bytes())
    store.verify()
    return {who(bytes(store.certificate(number))) for number in store.numbers()}


def who(der):
    certificate = Certificate(der)
    return bytes(certificate.subject), bytes(certificate.public_key_info)


def test_build_of_mozillas_roots(folder):
    assert re.match(r"roots\.bin: 117 certificates, \d+ bytes, build time 2", run("store", "build"))
    assert len(held()) == 117
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
    assert held() == {who(der(stem)) for stem in ("rsa_root", "ec_root", "twin_a", "leaf")}
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
    assert held() == {who(found["ISRG Root X1"].der), who(found["ISRG Root X2"].der)}
    assert f"{X1_SKI}  ISRG Root X1" in text
    whole = found["GTS Root R1"].subject
    run("store", "build", "--only", whole, "--only", found["GTS Root R4"].certificate.fingerprint().hex())
    assert held() == {who(found["GTS Root R1"].der), who(found["GTS Root R4"].der)}


def test_only_that_names_nothing(folder):
    text = run("store", "build", "--only", "ISRG Root X1", "--only", "ISRG Rot X2", status=1)
    assert 'no certificate "ISRG Rot X2"' in text and "nearest: ISRG Root X2" in text
    # A part of a name never chooses who is trusted.
    assert "nearest: ISRG Root X1" in run("store", "build", "--only", "ISRG", status=1)
    assert "\\1B[2J" in run("store", "build", "--only", "\x1b[2J", status=1)
    assert not (folder / "roots.bin").exists()


def test_a_failed_write_leaves_the_old_store(folder, monkeypatch):
    run("store", "build", "--only", "ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "roots.bin: No space left" in run("store", "build", status=1)
    assert (folder / "roots.bin").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["roots.bin"]


def test_build_in_json(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "broken.pem").write_text("-----BEGIN CERTIFICATE-----")
    (folder / "mine" / "root.der").write_bytes(der("rsa_root"))
    words = ("--add", "mine", "--only", "RSA Root", "--only", "ISRG Root X1", "--build-time", "7")
    built = facts("store", "build", *words)
    assert (built["store"], built["build_time"], built["hosts"]) == ("roots.bin", "1970-01-01T00:00:07Z", [])
    assert built["bytes"] == (folder / "roots.bin").stat().st_size
    assert [each["subject"][:11] for each in built["certificates"]] == ["CN=ISRG Roo", "CN=RSA Root"]
    assert [each["what"] for each in built["skipped"]] == ["mine/broken.pem"]


def test_what_a_store_would_hold_once_is_counted_once(folder):
    # Another serial number and signature, the same to a store.
    again = bytearray(der("ec_root"))
    again[-1] ^= 1
    (folder / "again.der").write_bytes(again)
    text = run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "ec_root.der", "--add", "again.der")
    assert "skipped EC Root of again.der: the same as that of" in text and "roots.bin: 1 certificate," in text
    assert len(CertStore((folder / "roots.bin").read_bytes())) == 1


def test_a_store_with_identities_is_not_built_over(folder, monkeypatch):
    run("store", "build", "--only", "ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(store_commands, "CertStore", lambda data: type("Held", (), {"identity_count": 2}))
        text = run("store", "build", status=1)
    assert "roots.bin: found 2 identities in it, which a build would drop" in text
    assert (folder / "roots.bin").read_bytes() == before
    (folder / "roots.bin").write_bytes(before[:-1])  # a damaged one has none to lose
    run("store", "build", "--only", "ISRG Root X1")


def test_a_file_keeps_its_mode(folder):
    run("store", "build", "--only", "ISRG Root X1")
    assert (folder / "roots.bin").stat().st_mode & 0o777 == 0o666 & ~store_files._umask()
    (folder / "roots.bin").chmod(0o600)
    run("store", "add", "ISRG Root X2")
    assert (folder / "roots.bin").stat().st_mode & 0o777 == 0o600
    store_files.write("secret", b"", private=True)
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600


QUERIES = (X1_SKI, X1_SKI.upper(), ":".join(re.findall("..", X1_SKI)), "isrg root x1", X1_SHA256, X1_PIN)


def test_find(folder):
    text = run("store", "find", "ISRG Root X1")
    assert text.splitlines()[1].split(maxsplit=5) == [
        X1_SKI, "2035-06-04", "RSA", "4096", "anchor", "ISRG Root X1".ljust(len("ISRG Root X1")),
    ]  # fmt: skip
    for query in QUERIES:
        assert run("store", "find", query) == text
    found = facts("store", "find", "ISRG")
    assert [each["ski"] for each in found][:1] == [X1_SKI] and len(found) == 2
    text = run("store", "find", "ISRG Root X3", status=1)
    assert "ISRG Root X1" in text and "Mozilla's roots" in text
    run("store", "find", "", status=1)


def test_find_by_file(folder):
    words = ("--no-mozilla", "--add", CERTIFICATES / "rsa_root.der", "--add", CERTIFICATES / "leaf.der")
    run("store", "build", *words)
    for stem in ("leaf", "rsa_root"):  # whole, and packed
        assert [who["sha256"] for who in facts("store", "find", CERTIFICATES / f"{stem}.der")] == [
            None if stem == "rsa_root" else Certificate(der(stem)).fingerprint().hex()
        ]
    text = run("store", "find", CERTIFICATES / "intermediate.der")
    assert "is not in roots.bin; this may have issued it:" in text and "RSA Root" in text.splitlines()[-1]
    text = run("store", "find", CERTIFICATES / "ec_root.der", status=1)
    assert "roots.bin holds neither EC Root nor who issued it" in text
    (folder / "junk").write_text("junk")
    assert "junk: DER" in run("store", "find", "junk", status=1)


def test_show_of_a_packed_anchor(folder):
    text = run("store", "show", "ISRG Root X1")
    assert "CN=ISRG Root X1,O=Internet Security Research Group,C=US" in text and X1_SKI in text
    assert "2015-06-04T11:04:38Z to 2035-06-04T11:04:38Z" in text and "RSA 4096" in text
    assert "packed" in text and f"pin        {X1_PIN}" in text
    # What the store laid out has another SHA-256 than Mozilla's file: it is not told.
    assert f"Mozilla's  {X1_SHA256}, SHA-256 of the root" in text and "\nSHA-256" not in text
    for query in QUERIES:
        assert run("store", "show", query) == text
    [shown] = facts("store", "show", X1_SKI)
    assert (shown["packed"], shown["sha256"], shown["mozilla_sha256"]) == (True, None, X1_SHA256)
    text = run("store", "show", "ISRG", status=1)
    assert 'no certificate "ISRG" in' in text and "nearest: ISRG Root X1" in text


def test_show_of_a_whole_certificate(folder):
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "leaf.der")
    text = run("store", "show", "leaf")
    assert f"SHA-256  {Certificate(der('leaf')).fingerprint().hex()}" in text
    assert "whole" in text and "Mozilla's" not in text
    [shown] = facts("store", "show", CERTIFICATES / "leaf.der")
    assert (shown["packed"], shown["kind"], shown["mozilla_sha256"]) == (False, "exact", None)


def test_show_of_several_shows_each(folder):
    twins = [CERTIFICATES / "twin_a.der", CERTIFICATES / "twin_b.der"]
    run("store", "build", "--no-mozilla", "--add", twins[0], "--add", twins[1])
    ski = Certificate(der("twin_a")).ski.hex()
    assert len(facts("store", "show", ski)) == 2
    assert run("store", "show", ski).count("subject") == 2


def test_the_ski_is_that_of_the_certificate_and_not_of_what_is_laid_out(folder):
    # Only the store knows it: what it lays out has no such extension.
    own = Certificate(der("ski32"))
    assert len(own.ski) == 32 and own.may_issue
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "ski32.der")
    [shown] = facts("store", "list")["certificates"]
    assert shown["ski"] == own.ski.hex()
    assert run("store", "show", own.ski.hex())


def test_the_store_here_comes_before_mozillas(folder):
    assert len(facts("store", "list")["certificates"]) == 117
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "ec_root.der")
    assert run("store", "list").endswith("roots.bin: 1 certificate\n")
    os.rename("roots.bin", "other.bin")
    assert len(facts("store", "list", "other.bin")["certificates"]) == 1
    assert len(facts("store", "find", "EC Root", "--store", "other.bin")) == 1
    text = run("store", "list", "gone.bin", status=1)
    assert (
        text
        == "securesocket: gone.bin: there is no store here; remedy: build one: securesocket store build\n"
    )


def test_list_and_what_the_store_is(folder):
    run("store", "build", "--add", CERTIFICATES / "leaf.der", "--build-time", "7")
    lines = run("store", "list").splitlines()
    assert len(lines) == 120 and any(X1_SKI in line and "ISRG Root X1" in line for line in lines)
    assert facts("store", "list")["identities"] == []
    shown = facts("store", "show")
    assert (shown["certificates"], shown["anchors"], shown["exact"], shown["packed"]) == (118, 117, 1, 117)
    assert shown["version"] == 1 and shown["identities"] == 0
    assert shown["build_time"] == "1970-01-01T00:00:07Z"
    assert shown["bytes"] == (folder / "roots.bin").stat().st_size
    assert "certificates    118\n" in run("store", "show")


READERS = (
    ("list", "roots.bin"),
    ("show", "--store", "roots.bin"),
    ("find", "ISRG Root X1", "--store", "roots.bin"),
    ("verify",),
    ("add", "ISRG Root X2"),
    ("remove", "ISRG Root X1"),
    ("merge", "roots.bin"),
    ("frozen",),
    ("romfs",),
    ("push",),
    ("tag", "--key-file", "roots.bin", "--out", "tagged.bin"),
)


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_a_store_that_is_no_good_is_refused(folder, words):
    def refusal():
        return run("store", *words, status=1).removeprefix("securesocket: ")

    assert refusal().startswith("roots.bin: there is no store here; remedy: build one")
    run("store", "build", "--only", "ISRG Root X1")
    good = (folder / "roots.bin").read_bytes()
    for at, data, said in BROKEN:
        broken = bytearray(good)
        broken[at : at + len(data)] = data
        (folder / "roots.bin").write_bytes(broken)
        assert refusal().startswith(f"roots.bin: {said}"), at
        assert (folder / "roots.bin").read_bytes() == broken
    (folder / "roots.bin").write_bytes(good[:-1])
    assert refusal().startswith("roots.bin: the store is shorter or longer")
    newer = bytearray(good[:96])
    newer[8] = 99
    newer[92:] = binascii.crc32(newer[:92]).to_bytes(4, "little")
    (folder / "roots.bin").write_bytes(newer + good[96:])
    assert refusal().startswith("roots.bin: the store's format is newer than this code: found version 99")
    assert [path.name for path in folder.iterdir()] == ["roots.bin"]


# Where, what, and what is said of it; from the end if the place is negative.
BROKEN = (
    (0, b"text", "this is not a certificate store"),
    (44, b"\0\0", "the store's header is damaged"),
    (100, b"\0\0\0", "the store's checksum does not hold"),
    (-100, b"\0\0\0", "the store's checksum does not hold"),
)


def test_names_are_printed_escaped(folder):
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "bidi_name.der")
    verbs = (("list",), ("find", "hidden"), ("show", CERTIFICATES / "bidi_name.der"))
    for words in (*verbs, *((*verb, "--json") for verb in verbs)):
        text = run("store", *words)
        assert "\\u{202E}" in text.replace("\\\\", "\\") and "[2J" in text
        assert not set(text) & set("\x1b\x07\u202e\u202c\u200b")
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "long_name.der")
    assert max(map(len, run("store", "show", CERTIFICATES / "long_name.der").splitlines())) < 140


def test_squares_in_names_are_no_markup(folder):
    from certstore.asn1 import encode

    name = b"[red]x[/nothing]"
    der_ = der("ec_root").replace(encode(0x0C, b"EC Root"), encode(0x0C, name[:7]))
    assert der_ != der("ec_root")
    (folder / "x.der").write_bytes(der_)
    run("store", "build", "--no-mozilla", "--add", "x.der")
    assert "[red]x[" in run("store", "list")


def test_handlers_are_functions(folder):
    [x1] = entries.select(store_files.pool()[0], "ISRG Root X1")
    assert Certificate(x1.der).may_issue
    store_files.write("x1.bin", store_files.make([x1], 3))
    assert store_files.read_store("x1.bin").store.build_time == 3
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
