"""The command `securesocket store check`: what wants attention, and the exit status for a CI job."""

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certstore import pem
from plugins import pki
from plugins.command import answer, facts, run
from plugins.interpreters import ROOT
from securesocket_cli import entries
from securesocket_cli.moments import DAY_S, moment, parse_days

CERTIFICATES = ROOT / "tests" / "vectors" / "certificates"
X1_SKI = "79b459e67bb6e5e40173800888c81a58f6e99b6e"
X1_ENDS = 2064567878  # 2035-06-04T11:04:38Z


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


def build(*words):
    run("store", "build", "--build-time", "1000", *words)


def found(*words, status=1):
    """[(finding, common name)]"""
    rows = facts("store", "check", *words, status=status)["findings"]
    return [(row["finding"], row["subject"].partition(",")[0].removeprefix("CN=")) for row in rows]


def own(folder, name, member):
    (folder / name).write_bytes(member.pem)
    return name


def test_nothing_to_report(folder):
    build("--only", "ISRG Root X1", "--only", "GTS Root R1")
    text = run("store", "check", "--now", "2026-11-01")
    assert text == "roots.bin: 2 certificates, 0 findings at 2026-11-01, within 90 days\n"
    assert run("store", "check", "roots.bin", "--now", "2026-11-01") == text
    told = facts("store", "check", "--now", "2026-11-01")
    assert (told["store"], told["now"], told["within_days"]) == ("roots.bin", "2026-11-01T00:00:00Z", 90)
    assert (told["certificates"], told["findings"]) == (2, [])


@pytest.mark.parametrize(
    ("now", "within", "finding"),
    [
        (X1_ENDS - 91 * DAY_S, "90d", None),
        (X1_ENDS - 90 * DAY_S, "90d", None),
        (X1_ENDS - 90 * DAY_S + 1, "90d", "expires"),
        (X1_ENDS - 14 * DAY_S + 1, "2w", "expires"),
        (X1_ENDS - 14 * DAY_S, "2w", None),
        (X1_ENDS - 730 * DAY_S + 1, "2y", "expires"),
        (X1_ENDS, "1d", "expires"),
        (X1_ENDS, "0d", None),
        (X1_ENDS + 1, "0d", "expired"),
    ],
)
def test_the_end_of_validity_from_both_sides(folder, now, within, finding):
    build("--only", "ISRG Root X1")
    words = ("--now", now, "--within", within)
    assert found(*words, status=1 if finding else 0) == ([(finding, "ISRG Root X1")] if finding else [])


def test_a_finding_in_words(folder):
    build("--only", "ISRG Root X1")
    out, errors = answer("store", "check", "--now", X1_ENDS - 10 * DAY_S, status=1)
    row = out.splitlines()[1].split(maxsplit=2)
    assert row[:2] == ["expires", X1_SKI]
    assert row[2].split() == ["ISRG", "Root", "X1", "2035-06-04T11:04:38Z,", "in", "10", "days"]
    assert (
        out.endswith("roots.bin: 1 certificate, 1 finding at 2035-05-25, within 90 days\n") and errors == ""
    )


def test_the_clock_is_asked_without_now(folder):
    old = pki.make("Old", ca=True, not_before=pki.BEFORE - 9 * pki.DAY, not_after=pki.NOW - pki.DAY)
    soon = pki.make("Soon", ca=True, not_after=pki.NOW + 30 * pki.DAY)
    names = own(folder, "old.pem", old), own(folder, "soon.pem", soon)
    build("--no-mozilla", "--add", names[0], "--add", names[1])
    words = ("--own", names[0], "--own", names[1])
    assert sorted(found(*words)) == [("expired", "Old"), ("expires", "Soon")]
    assert found(*words, "--within", "20d") == [("expired", "Old")]


def root(name, key):
    """A self-signed CA with a key of this size, which `pki` need not make."""
    signer = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(pki.name(name))
        .issuer_name(pki.name(name))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(pki.BEFORE)
        .not_valid_after(pki.AFTER)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, signer)
    )


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        (lambda: pki.new_key("rsa1024"), "RSA 1024, expected 2048 bits or more"),
        (lambda: pki.new_key("rsa2047"), "RSA 2047, expected 2048 bits or more"),
        (lambda: pki.new_key("rsa2048"), None),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "EC secp224r1, expected 256 bits or more"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), None),
        (ed25519.Ed25519PrivateKey.generate, "a key of unknown kind, 1.3.101.112"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_strength_of_keys(folder, key, detail):
    (folder / "ca.der").write_bytes(root("Own", key()).public_bytes(pki.serialization.Encoding.DER))
    build("--no-mozilla", "--add", "ca.der")
    rows = facts("store", "check", "--own", "ca.der", status=1 if detail else 0)["findings"]
    assert [(row["finding"], row["detail"]) for row in rows] == ([("weak", detail)] if detail else [])


def test_what_is_not_mozillas(folder):
    ca, other = pki.make("Own CA", ca=True), pki.make("Other CA", ca=True)
    own(folder, "ca.pem", ca)
    build("--add", "ca.pem", "--add", CERTIFICATES / "leaf.der", "--only", "Own CA", "--only", "ISRG Root X1")
    rows = facts("store", "check", "--now", "2026-11-01", status=1)["findings"]
    assert [row["finding"] for row in rows] == ["not-mozilla"]
    assert (
        f"not in Mozilla's roots (certifi {certifi.__version__}): it has left, or is your own"
        in rows[0]["detail"]
    )
    assert facts("store", "check", "--own", "ca.pem", "--now", "2026-11-01")["findings"] == []
    (folder / "own").mkdir()
    own(folder, "own/ca.pem", ca)
    assert found("--own", "own", "--now", "2026-11-01", status=0) == []
    # Another's file excuses nothing, nor does a CA of the same name with another key.
    own(folder, "other.pem", other)
    own(folder, "namesake.pem", pki.make("Own CA", ca=True))
    assert found("--own", "other.pem", "--own", "namesake.pem") == [("not-mozilla", "Own CA")]


def test_a_root_that_has_left_mozillas_set(folder, monkeypatch):
    build("--only", "ISRG Root X1", "--only", "ISRG Root X2")
    kept = [entry.der for entry in entries.mozilla()[0] if entry.title != "ISRG Root X1"]
    bundle = folder / "cacert.pem"
    bundle.write_text("".join(map(pem.encode, kept)))
    monkeypatch.setattr(certifi, "where", lambda: str(bundle))
    assert found("--now", "2026-11-01") == [("not-mozilla", "ISRG Root X1")]


def test_a_new_edition_of_a_root_has_not_left(folder, monkeypatch):
    # Mozilla's set has the same subject and key with other dates.
    old = pki.make("A Root", ca=True)
    new = pki.make("A Root", key=old.key, ca=True, not_after=pki.AFTER + pki.DAY)
    own(folder, "old.pem", old)
    own(folder, "cacert.pem", new)
    monkeypatch.setattr(certifi, "where", lambda: str(folder / "cacert.pem"))
    build("--no-mozilla", "--add", "old.pem")
    assert found("--within", "1d", status=0) == []


def test_each_finding_has_its_row(folder):
    key = pki.new_key("rsa1024")
    bad = pki.make("Bad", key=key, ca=True, not_before=pki.BEFORE - 9 * pki.DAY, not_after=pki.BEFORE)
    own(folder, "bad.pem", bad)
    build("--no-mozilla", "--add", "bad.pem")
    assert found() == [("expired", "Bad"), ("weak", "Bad"), ("not-mozilla", "Bad")]


@pytest.mark.parametrize(
    "words",
    [
        ("gone.bin",),
        ("--store", "roots.bin"),
        ("--within", "90"),
        ("--within", "d"),
        ("--within", "-1d"),
        ("--within", "101y"),
        ("--within", "1m"),
        ("--now", "yesterday"),
        ("--own", "gone.pem"),
        ("broken.bin",),
    ],
    ids=" ".join,
)
def test_what_keeps_it_from_an_answer_has_status_2(folder, words):
    build("--only", "ISRG Root X1")
    (folder / "broken.bin").write_bytes((folder / "roots.bin").read_bytes()[:-1])
    out, errors = answer("store", "check", *words, status=2)
    assert out == "" and errors


def test_durations():
    assert [parse_days(text) for text in ("0d", "90d", "12w", "2Y", "100y")] == [0, 90, 84, 730, 36500]
    assert moment(X1_ENDS) == "2035-06-04T11:04:38Z"
