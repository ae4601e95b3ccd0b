"""The command `securesocket identity …`: through click's runner and as a program; OpenSSL reads what it
writes, and it reads what OpenSSL writes."""

import datetime
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from plugins.interpreters import ROOT
from plugins.pki import AFTER, BEFORE, DAY, NOW, make, name, sha256

sys.path.insert(0, str(ROOT / "tools"))

from certstore import keys, pem
from certstore.certificate import Certificate
from certstore.store import CertStore
from securesocket_cli import identity_files, identity_output, issuing, passwords
from securesocket_cli.errors import CommandError
from securesocket_cli.main import cli

PASSWORD, CA_PASSWORD, OTHER = "correct horse 1", "battery staple 2", "another one 3"
SECRETS = (PASSWORD, CA_PASSWORD, OTHER)
FEW = ("--iterations", 1000)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the commands run, with files of passwords; keys in files are derived quickly."""
    monkeypatch.chdir(tmp_path)
    for role in (passwords.OWN, passwords.CA, passwords.SOURCE, passwords.NEW):
        monkeypatch.delenv(role.variable, raising=False)
    monkeypatch.setattr(identity_files, "FILE_ITERATIONS", 1000)
    (tmp_path / "pw").write_text(PASSWORD + "\n")
    (tmp_path / "capw").write_text(CA_PASSWORD)
    (tmp_path / "otherpw").write_text(OTHER + "\n")
    return tmp_path


OWN = ("--password-file", "pw")
CA = ("--ca", "ca.crt", "--ca-password-file", "capw")


def run(*words, status=0, **how):
    """Standard output of `identity …`, or standard error if it should fail. No secret is in either."""
    result = CliRunner().invoke(cli, ["identity", *map(str, words)], **how)
    assert result.exit_code == status, result.output
    assert not any(secret in result.output for secret in SECRETS)
    if status:
        assert result.stdout == "" and result.stderr.startswith("securesocket: ")
        assert isinstance(result.exception, SystemExit)
        return result.stderr
    assert result.stderr == ""
    return result.stdout


def fails(*words):
    """What a command says that fails, and has written nothing."""
    before = contents()
    text = run(*words, status=1)
    assert contents() == before, "something was written"
    return text


def contents():
    return {path: path.read_bytes() for path in pathlib.Path().rglob("*") if path.is_file()}


def openssl(*words, check=True, **how):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=30, **how)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout if check else done.returncode


@pytest.fixture(scope="module")
def made_ca(tmp_path_factory):
    """A CA that the tests copy; making one is tested on its own."""
    folder = tmp_path_factory.mktemp("ca")
    member = make("My CA", ca=True, not_before=NOW - DAY, not_after=NOW + 3650 * DAY)
    (folder / "ca.crt").write_bytes(member.pem)
    (folder / "ca.key").write_bytes(member.private(password=CA_PASSWORD.encode()))
    return folder


@pytest.fixture
def ca(made_ca, folder):
    """ca.crt and ca.key here; the certificate."""
    for each in ("ca.crt", "ca.key"):
        shutil.copy(made_ca / each, folder)
    return certificates("ca.crt")[0]


def certificates(path):
    return x509.load_pem_x509_certificates(pathlib.Path(path).read_bytes())


def write(path, *members, key=None, password=None):
    """PEM of members' certificates, and of one member's key."""
    data = b"".join(member.pem for member in members)
    pathlib.Path(path).write_bytes(data + (key.private(password=password) if key else b""))


def extension(certificate, kind):
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def stored(path="device.bin"):
    store = CertStore(pathlib.Path(path).read_bytes())
    store.verify()
    return {store.identity(number).label: store.identity(number) for number in range(store.identity_count)}


def new(*words, **how):
    return run("new", *words, *OWN, *FEW, **how)


# ---- new-ca


def test_a_new_ca_as_openssl_sees_it(folder):
    text = run("new-ca", "--name", "My CA", *OWN)
    shown = openssl("x509", "-in", "ca.crt", "-noout", "-text")
    assert re.search(r"X509v3 Basic Constraints: critical\n\s+CA:TRUE\n", shown)
    assert re.search(r"X509v3 Key Usage: critical\n\s+Certificate Sign, CRL Sign\n", shown)
    assert "X509v3 Subject Key Identifier" in shown and "Authority Key" not in shown
    assert "Subject: CN = My CA" in shown and "NIST CURVE: P-256" in shown
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "ca.crt")
    [made] = certificates("ca.crt")
    assert 0 < made.serial_number < 1 << 159
    assert made.not_valid_after_utc - NOW >= issuing.CA_DAYS * DAY - DAY
    assert "ca.crt: CN=My CA, EC secp256r1, until 20" in text and "ca.key: private key, encrypted" in text


def test_the_key_of_a_ca_is_its_owners_and_encrypted(folder):
    run("new-ca", "--name", "My CA", *OWN)
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "ca.crt").stat().st_mode & 0o077 != 0
    public = openssl("pkey", "-in", "ca.key", "-passin", "file:pw", "-pubout")
    assert public == openssl("x509", "-in", "ca.crt", "-noout", "-pubkey")
    assert openssl("pkey", "-in", "ca.key", "-passin", "file:capw", "-noout", check=False) == 1


def test_serial_numbers_are_random():
    key = issuing.new_key("p256")
    made = [issuing.new_ca(issuing.subject_name("x"), key)[0].serial_number for _ in range(20)]
    assert len(set(made)) == 20 and max(made).bit_length() > 150


def test_iterations_of_keys_in_files(folder, monkeypatch):
    monkeypatch.undo()
    os.chdir(folder)
    assert identity_files.FILE_ITERATIONS == 600_000
    run("new-ca", "--name", "x", *OWN)
    assert ":0927C0" in openssl("asn1parse", "-in", "ca.key")  # 600,000 in hex


@pytest.mark.parametrize(
    ("kind", "text"), [("p384", "EC secp384r1"), ("rsa2048", "RSA 2048"), ("rsa3072", "RSA 3072")]
)
def test_kinds_of_keys(kind, text):
    assert text in run("new-ca", "--name", "x", "--key", kind, "--plain")
    assert text in run("new", "--name", "y", "--key", kind, "--ca", "ca.crt", "--out", "y", "--plain")
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "y.crt")


def test_a_plain_key_needs_the_flag(folder):
    assert "no terminal to ask on; expected --password-file FILE, or SECURESOCKET_PASSWORD" in fails(
        "new-ca", "--name", "x"
    )
    assert "ca.key: private key, NOT encrypted" in run("new-ca", "--name", "x", "--plain")
    openssl("pkey", "-in", "ca.key", "-noout")
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert "expected one of them" in fails("new-ca", "--name", "x", "--plain", *OWN, "--force")


def test_nothing_is_overwritten_without_force(folder):
    (folder / "ca.crt").write_text("mine")
    assert "ca.crt: exists already; choose another --out, or overwrite it with --force" in fails(
        "new-ca", "--name", "x", "--plain"
    )
    run("new-ca", "--name", "x", "--plain", "--force")
    assert certificates("ca.crt")
    (folder / "a.key").symlink_to("nowhere")
    assert "a.key: exists already" in fails("new-ca", "--name", "x", "--plain", "--out", "a")
    (folder / "b.key").mkdir()
    assert "b.key: is a folder" in fails("new-ca", "--name", "x", "--plain", "--out", "b", "--force")


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in fails("new-ca", "--name", "x", "--plain")
    assert "No space left on device" in fails("new", "--name", "x", "--plain", "--out", "x", "--store", "s")


@pytest.mark.parametrize("out", ["deep/er/my.ca", "deep/er/my.ca.crt", "deep/er/my.ca.key"])
def test_out_is_the_name_of_both_files(folder, out):
    run("new-ca", "--name", "x", "--plain", "--out", out)
    assert sorted(path.name for path in (folder / "deep" / "er").iterdir()) == ["my.ca.crt", "my.ca.key"]


def test_a_ca_below_a_ca(ca):
    words = ("new-ca", "--name", "Sub", *CA, "--out", "sub", "--path-length", 0, "--days", 99, "--plain")
    run(*words)
    [made] = certificates("sub.crt")
    assert extension(made, x509.BasicConstraints) == (x509.BasicConstraints(True, 0), True)
    run("new", "--name", "leaf", "--ca", "sub.crt", "--days", 9, "--out", "leaf", "--plain")
    assert len(certificates("leaf.crt")) == 2
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "-untrusted", "sub.crt", "leaf.crt")
    text = fails("new-ca", "--name", "Subsub", "--ca", "sub.crt", "--out", "s3", "--plain")
    assert "CN=Sub allows 0 CAs below it (pathLen), found 1" in text


def test_path_lengths_further_up_count():
    root = make("Root", ca=True, path_length=1)
    one = make("One", root, ca=True)
    two = make("Two", one, ca=True)
    write("good.pem", one, root, key=one)
    write("bad.pem", two, one, root, key=two)
    run("new", "--name", "x", "--ca", "good.pem", "--out", "x", "--days", 1, "--plain")
    text = fails("new", "--name", "x", "--ca", "bad.pem", "--out", "y", "--days", 1, "--plain")
    assert "CN=Root allows 1 CA below it (pathLen), found 2" in text


# ---- new


def test_a_new_identity_as_openssl_sees_it(ca):
    hosts = ("--host", "a.example", "--host", "*.B.example", "--host", "10.0.0.1", "--host", "::1")
    text = run("new", "--name", "device-17", *CA, "--out", "d", *hosts, *OWN)
    assert "d.key: private key, encrypted" in text and "d.crt: CN=device-17, EC secp256r1, until 20" in text
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "d.crt")
    openssl("verify", "-CAfile", "ca.crt", "-purpose", "sslclient", "d.crt")
    openssl(
        "verify", "-CAfile", "ca.crt", "-purpose", "sslserver", "-verify_hostname", "x.b.example", "d.crt"
    )
    openssl("verify", "-CAfile", "ca.crt", "-verify_ip", "::1", "d.crt")
    [made] = certificates("d.crt")
    assert extension(made, x509.BasicConstraints) == (x509.BasicConstraints(False, None), True)
    usage, critical = extension(made, x509.KeyUsage)
    assert critical and usage.digital_signature and not usage.key_cert_sign
    above = extension(ca, x509.SubjectKeyIdentifier)[0]
    assert extension(made, x509.AuthorityKeyIdentifier)[0].key_identifier == above.digest
    shown = openssl("x509", "-in", "d.crt", "-noout", "-text")
    assert "DNS:a.example, DNS:*.b.example, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1" in shown
    public = openssl("pkey", "-in", "d.key", "-passin", "file:pw", "-pubout")
    assert public == openssl("x509", "-in", "d.crt", "-noout", "-pubkey")


@pytest.mark.parametrize(
    ("words", "purposes"),
    [
        ((), {"client"}),
        (("--host", "a.example"), {"client", "server"}),
        (("--for", "client", "--host", "a.example"), {"client"}),
        (("--for", "server"), {"server"}),
        (("--for", "both"), {"client", "server"}),
    ],
)
def test_what_an_identity_is_for(ca, words, purposes):
    text = run("new", "--name", "x", *CA, "--out", "d", "--plain", *words)
    for purpose in ("client", "server"):
        bad = openssl("verify", "-CAfile", "ca.crt", "-purpose", f"ssl{purpose}", "d.crt", check=False)
        assert (bad == 0) is (purpose in purposes), purpose
    assert ("names no host" in text) is ("server" in purposes and "--host" not in words)


def test_the_root_is_in_the_chain_only_if_wanted(ca):
    run("new-ca", "--name", "Sub", *CA, "--out", "sub", "--plain")
    run("new", "--name", "x", *CA, "--out", "a", "--plain")
    run("new", "--name", "x", *CA, "--out", "b", "--plain", "--with-root")
    assert (len(certificates("a.crt")), len(certificates("b.crt"))) == (1, 2)
    assert certificates("b.crt")[1] == ca
    text = fails("new", "--name", "x", "--ca", "sub.crt", "--out", "c", "--plain", "--with-root")
    assert "the root is not in it" in text


def test_without_a_ca_it_is_signed_by_itself():
    text = run("new", "--name", "dartcert", "--out", "d", "--host", "localhost", "--plain")
    assert "note: signed by itself" in text
    [made] = certificates("d.crt")
    assert made.issuer == made.subject and not Certificate(made.public_bytes(Encoding.DER)).is_ca
    openssl("verify", "-CAfile", "d.crt", "-partial_chain", "-verify_hostname", "localhost", "d.crt")


def test_subject(ca):
    run("new", "--name", "x", "--subject", "CN=device-17,O=Acme,C=DE", *CA, "--out", "d", "--plain")
    assert (
        openssl("x509", "-in", "d.crt", "-noout", "-subject") == "subject=C = DE, O = Acme, CN = device-17\n"
    )
    run("new", "--name", "y", "--subject", "cn=dartcert", "--out", "e", "--plain")
    assert "CN = dartcert" in openssl("x509", "-in", "e.crt", "-noout", "-subject")


@pytest.mark.parametrize("subject", ["device-17", "CN=", "C=DEU", "CN=" + "x" * 65, "CN=a, O=b"])
def test_bad_subjects(subject):
    text = fails("new", "--name", "x", "--subject", subject, "--out", "d", "--plain")
    assert "expected a name as CN=device-17,O=Acme" in text


@pytest.mark.parametrize("label", ["", " x", "\x1b[2J", "x" * 65, "ü" * 33])
def test_bad_labels(label):
    text = fails("new", "--name", label, "--plain")
    assert "expected 1 to 64 bytes of printable UTF-8" in text and "\x1b" not in text


@pytest.mark.parametrize(
    "host", ["", "a b", "10.0.0.256", "-a.example", "a..b", "*", "a.*", "ü.example", "x" * 64, "a/b", "a.b:1"]
)
def test_bad_hosts(host):
    assert "expected a DNS name" in fails("new", "--name", "x", "--out", "d", "--host", host, "--plain")


def test_validity_is_within_the_cas():
    run("new-ca", "--name", "x", "--days", 30, "--plain")
    text = run("new", "--name", "x", "--ca", "ca.crt", "--out", "cut", "--plain")
    assert "note: valid only as long as its CA, until 20" in text
    assert certificates("cut.crt")[0].not_valid_after_utc == certificates("ca.crt")[0].not_valid_after_utc
    assert "note" not in run("new", "--name", "x", "--ca", "ca.crt", "--out", "ok", "--days", 29, "--plain")
    text = fails("new", "--name", "x", "--ca", "ca.crt", "--out", "no", "--days", 31, "--plain")
    assert re.search(r"--days 31 ends after the CA, which ends 20.*; expected at most (29|30):", text)
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "cut.crt")


def test_days():
    run("new", "--name", "x", "--out", "d", "--days", 10, "--plain")
    [made] = certificates("d.crt")
    assert abs(made.not_valid_after_utc - datetime.datetime.now(datetime.UTC) - 10 * DAY) < DAY / 24
    before = datetime.datetime.now(datetime.UTC) - made.not_valid_before_utc
    assert before > DAY / 48, "a device's clock may be a little behind"


# ---- the CA that is to sign


def refused(path, **how):
    return fails("new", "--name", "x", "--ca", path, "--out", "d", "--plain", *how.get("words", ()))


def test_a_ca_that_may_not_sign():
    rows = (
        ({"ca": False}, "CN=CA is no CA (basicConstraints: CA:FALSE)"),
        ({"ca": True, "key_usage": _usage()}, "CN=CA may not sign: its key usage lacks keyCertSign"),
        ({"ca": True, "not_after": NOW - DAY}, "CN=CA expired 20"),
        ({"ca": True, "not_before": NOW + DAY}, "CN=CA is not valid before 20"),
    )
    for how, message in rows:
        member = make("CA", **how)
        write("bad.pem", member, key=member)
        assert message in refused("bad.pem")


def _usage():
    flags = dict.fromkeys(
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only".split(),
        False,
    )
    return x509.KeyUsage(**{**flags, "crl_sign": True})


def test_an_expired_ca_further_up():
    root = make("Root", ca=True, not_after=NOW - DAY)
    sub = make("Sub", root, ca=True)
    write("sub.pem", sub, root, key=sub)
    assert "CN=Root expired 20" in refused("sub.pem")


def test_a_ca_without_its_key(ca, folder):
    other = make("Other", ca=True)
    (folder / "other.key").write_bytes(other.private())
    ski = other.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    text = refused("ca.crt", words=("--ca-key", "other.key"))
    assert f"belongs to no certificate here: found the key of SKI {ski}, and certificates of My CA" in text
    os.unlink("ca.key")
    assert "ca.crt: found no private key; expected the CA's: --ca-key FILE" in refused("ca.crt")
    assert "gone.key: No such file" in refused("ca.crt", words=("--ca-key", "gone.key"))
    assert "gone.crt: No such file" in refused("gone.crt")
    text = fails("new", "--name", "x", "--ca-key", "ca.key", "--out", "d", "--plain")
    assert "--ca-key without --ca" in text


def test_the_wrong_password_of_a_ca(ca):
    text = refused("ca.crt", words=("--ca-password-file", "pw"))
    assert text == "securesocket: ca.key: wrong password, or the key is damaged\n"


def test_a_ca_of_openssl_can_sign(folder):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "o.key")
    openssl("req", "-x509", "-key", "o.key", "-out", "o.crt", "-subj", "/O=OpenSSL/CN=Theirs", "-days", "99")
    run("new", "--name", "x", "--ca", "o.crt", "--out", "d", "--days", 9, "--plain")
    openssl("verify", "-CAfile", "o.crt", "d.crt")


# ---- requests


def test_openssl_reads_our_request(ca):
    text = run("csr", "--name", "d", "--subject", "CN=d,O=Acme", "--host", "a.example", "--out", "d", *OWN)
    assert "d.key: private key, encrypted" in text
    openssl("req", "-in", "d.csr", "-verify", "-noout")
    assert "DNS:a.example" in openssl("req", "-in", "d.csr", "-noout", "-text")
    openssl("pkey", "-in", "d.key", "-passin", "file:pw", "-noout")
    openssl(
        "x509", "-req", "-in", "d.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-passin", "file:capw",
        "-copy_extensions", "copy", "-out", "theirs.crt", "-days", "9",
    )  # fmt: skip
    run("import", "theirs.crt", "d.key", "--source-password-file", "pw", *OWN, *FEW)
    assert list(stored()) == ["d"]


def test_we_sign_openssls_request(ca):
    openssl("genrsa", "-out", "o.key", "2048")
    asked = ("-addext", "subjectAltName=DNS:a.example,IP:10.0.0.1,URI:spiffe://x/y")
    asked += ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    openssl("req", "-new", "-key", "o.key", "-subj", "/O=Acme/CN=theirs", "-out", "o.csr", *asked)
    text = run("sign", "o.csr", *CA)
    assert "subject  CN=theirs,O=Acme\n" in text and "key      RSA 2048\n" in text
    assert "names    a.example, 10.0.0.1, spiffe://x/y\n" in text
    assert "asked for, but not in the certificate: BasicConstraints, KeyUsage" in text
    [made] = certificates("o.crt")
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "-verify_hostname", "a.example", "o.crt")
    assert not Certificate(made.public_bytes(Encoding.DER)).is_ca
    assert not extension(made, x509.KeyUsage)[0].key_cert_sign
    public = openssl("pkey", "-in", "o.key", "-pubout")
    assert public == openssl("x509", "-in", "o.crt", "-noout", "-pubkey")


def test_a_request_in_der_and_where_the_certificate_goes(ca, folder):
    run("csr", "--name", "d", "--out", "d", "--plain")
    openssl("req", "-in", "d.csr", "-outform", "DER", "-out", "d.der")
    run("sign", "d.der", *CA, "--out", "signed", "--for", "server", "--days", 3)
    openssl("verify", "-CAfile", "ca.crt", "-purpose", "sslserver", "signed.crt")
    assert "signed.crt: exists already" in fails("sign", "d.csr", *CA, "--out", "signed.crt")


def test_requests_that_are_refused(ca, folder):
    run("csr", "--name", "device", "--out", "d", "--plain")
    der = bytearray(pem.decode((folder / "d.csr").read_bytes(), "CERTIFICATE REQUEST")[0])
    at = der.find(b"device")
    der[at : at + 6] = b"admin1"
    (folder / "changed.csr").write_bytes(der)
    assert "changed.csr: the request's signature does not hold" in fails("sign", "changed.csr", *CA)
    for junk in (b"junk", bytes(der[:-1]), b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n"):
        (folder / "junk.csr").write_bytes(junk)
        assert "junk.csr: this is no certificate request" in fails("sign", "junk.csr", *CA)
    (folder / "junk.csr").write_bytes((folder / "ca.crt").read_bytes())
    assert "this is no certificate request" in fails("sign", "junk.csr", *CA)
    openssl("genrsa", "-out", "weak.key", "1024")
    openssl("req", "-new", "-key", "weak.key", "-subj", "/CN=x", "-out", "weak.csr")
    assert "weak.csr: found RSA 1024; expected RSA 2048" in fails("sign", "weak.csr", *CA)
    openssl("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "k1.key")
    openssl("req", "-new", "-key", "k1.key", "-subj", "/CN=x", "-out", "k1.csr")
    assert "k1.csr: found EC secp256k1; expected" in fails("sign", "k1.csr", *CA)
    openssl("req", "-new", "-key", "d.key", "-subj", "/", "-out", "none.csr")
    assert "none.csr: the request names nobody" in fails("sign", "none.csr", *CA)
    key = ed25519.Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(name("x")).sign(key, None)
    (folder / "ed.csr").write_bytes(request.public_bytes(Encoding.PEM))
    assert "ed.csr: found a key of another kind" in fails("sign", "ed.csr", *CA)


def test_names_of_a_request_are_printed_escaped(ca, folder):
    key = issuing.new_key("p256")
    request = issuing.request(name("\x1b[2J\u202e"), key, [x509.DNSName("a\x1b.example")])
    (folder / "x.csr").write_bytes(request.public_bytes(Encoding.PEM))
    text = run("sign", "x.csr", *CA)
    assert "\\1B[2J\\u{202E}" in text and "a\\1B.example" in text and "\x1b" not in text


# ---- identities in a store


def test_an_identity_is_put_into_a_store(ca, folder):
    text = new("--name", "device-17", *CA)
    assert 'device.bin: identity "device-17": CN=device-17, EC secp256r1, until 20' in text
    assert (folder / "device.bin").stat().st_mode & 0o777 == 0o600
    identity = stored()["device-17"]
    assert identity.encrypted and len(identity.chain) == 1
    (folder / "k.der").write_bytes(identity.key)
    public = openssl("pkey", "-in", "k.der", "-passin", "file:pw", "-pubout")
    assert public == openssl("x509", "-inform", "DER", "-noout", "-pubkey", "-in", _leaf(folder, identity))
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".crt") == ["ca.crt"]


def _leaf(folder, identity):
    (folder / "leaf.der").write_bytes(identity.chain[0])
    return "leaf.der"


def test_a_device_opens_what_the_host_wrote(ca):
    new("--name", "device-17", *CA)
    store = CertStore("device.bin")
    assert store.unlock(PASSWORD.encode()) == 1
    for query in ("device-17", "CN=device-17", stored()["device-17"].ski.hex()):
        chain, key = store.private_identity(query)
        kind, der = keys.private_key(key)
        assert keys.matches(kind, der, Certificate(chain[0]))


def test_iterations_of_keys_in_stores(ca, folder):
    run("new", "--name", "usual", *CA, *OWN)
    run("new", "--name", "few", *CA, *OWN, "--iterations", 1234)
    text = run("new", "--name", "many", *CA, *OWN, "--iterations", 100_001)
    assert "note: a device refuses more than 100000" in text and "max_iterations=100001" in text
    assert "note" not in run("new", "--name", "limit", *CA, *OWN, "--iterations", 100_000)
    for label, count in (("usual", 10_000), ("few", 1234), ("many", 100_001)):
        (folder / "k.der").write_bytes(stored()[label].key)
        assert f":{count:04X}" in openssl("asn1parse", "-inform", "DER", "-in", "k.der").replace(":01", ":1")
    source = (ROOT / "lib" / "certstore" / "certstore" / "pbes2.py").read_text()
    assert f"UNASKED_ITERATIONS = {identity_output.UNASKED_ITERATIONS:_} if ON_DEVICE" in source
    assert f"ITERATIONS = {identity_output.DEVICE_ITERATIONS:_} if ON_DEVICE" in source


def test_files_and_store_together(ca):
    run("new", "--name", "x", *CA, *OWN, *FEW, "--out", "x", "--store", "s.bin")
    assert stored("s.bin")["x"].chain == [certificates("x.crt")[0].public_bytes(Encoding.DER)]
    assert not pathlib.Path("device.bin").exists()


def test_what_else_is_in_the_store_stays(ca, folder):
    words = ["store", "build", "--no-mozilla", "--add", "ca.crt", "--build-time", "1767225600"]
    assert CliRunner().invoke(cli, [*words, "--out", "s.bin"]).exit_code == 0
    before = CertStore((folder / "s.bin").read_bytes())
    (folder / "s.bin").chmod(0o644)
    new("--name", "a", *CA, "--store", "s.bin")
    new("--name", "b", *CA, "--store", "s.bin")
    first = stored("s.bin")["a"]
    run("remove", "b", "--store", "s.bin")
    assert stored("s.bin").keys() == {"a"} and stored("s.bin")["a"].key == first.key
    after = CertStore((folder / "s.bin").read_bytes())
    assert after.build_time == before.build_time == 1767225600
    assert [bytes(after.certificate(n)) for n in after.numbers()] == [
        bytes(before.certificate(n)) for n in before.numbers()
    ]
    assert [after.ski(n) for n in after.numbers()] == [before.ski(n) for n in before.numbers()]
    assert (folder / "s.bin").stat().st_mode & 0o777 == 0o600, "it holds a private key now"
    run("remove", "a", "--store", "s.bin")
    assert (folder / "s.bin").read_bytes() != b"" and len(stored("s.bin")) == 0


def test_a_label_is_taken_once(ca):
    new("--name", "a", *CA)
    first = stored()["a"]
    assert 'device.bin has an identity "a" already' in fails("new", "--name", "a", *CA, *OWN)
    new("--name", "b", *CA)
    new("--name", "a", *CA, "--force")
    assert sorted(stored()) == ["a", "b"] and stored()["a"].ski != first.ski


def test_a_damaged_store_is_refused(ca, folder):
    new("--name", "a", *CA)
    data = bytearray((folder / "device.bin").read_bytes())
    data[-40] ^= 1
    (folder / "device.bin").write_bytes(data)
    for words in (
        ("list",),
        ("new", "--name", "b", *CA, *OWN),
        ("remove", "a"),
        ("export", "a", "--out", "e"),
    ):
        assert "device.bin: the store's checksum does not hold" in fails(*words)
    (folder / "device.bin").write_text("text")
    assert "device.bin: this is not a certificate store" in fails("list")


def test_there_is_no_store():
    for words in (("list",), ("remove", "a"), ("password", "a"), ("export", "a", "--out", "e")):
        text = fails(*words)
        assert "device.bin: there is no such file" in text and "securesocket identity new --name" in text


# ---- import


@pytest.fixture(scope="module")
def chain():
    """A device's chain: leaf, two intermediates, root."""
    root = make("Root", ca=True)
    first = make("First", root, ca=True)
    second = make("Second", first, ca=True)
    return [make("device-17", second, hosts=()), second, first, root]


def imported(*words):
    return run("import", *words, *OWN, *FEW, "--force")


def test_import_puts_a_chain_into_order(chain, folder):
    leaf, second, first, root = chain
    wanted = [member.der for member in chain[:3]]
    write("sorted.pem", leaf, second, first, key=leaf)
    assert "order" not in imported("sorted.pem") and stored()["device-17"].chain == wanted
    (folder / "mixed.pem").write_bytes(leaf.private() + first.pem + root.pem + leaf.pem + second.pem)
    assert "note: put the certificates into order" in imported("mixed.pem")
    assert stored()["device-17"].chain == wanted
    for number, member in enumerate((first, leaf, second)):
        (folder / f"{number}.der").write_bytes(member.der)
    (folder / "key.der").write_bytes(leaf.private(encoding="der"))
    imported("0.der", "key.der", "1.der", "2.der")
    assert stored()["device-17"].chain == wanted
    imported("mixed.pem", "--with-root", "--name", "all")
    assert stored()["all"].chain == [*wanted, root.der]


def test_import_refuses_what_does_not_belong_together(chain, folder):
    leaf, second, _, _ = chain
    stranger = make("Stranger", ca=True)
    write("extra.pem", leaf, second, stranger, key=leaf)
    text = fails("import", "extra.pem", *OWN)
    assert "extra.pem: these certificates are no chain of this key" in text and "CN=Stranger" in text
    write("other.pem", leaf, second, key=stranger)
    text = fails("import", "other.pem", *OWN)
    assert "the private key belongs to no certificate here" in text and "device-17, Second" in text
    write("none.pem", leaf, second)
    assert "none.pem: found no private keys; expected one" in fails("import", "none.pem", *OWN)
    (folder / "key.pem").write_bytes(leaf.private())
    assert "key.pem: found no certificate" in fails("import", "key.pem", *OWN)
    write("two.pem", leaf, key=stranger)
    assert "found 2 private keys; expected one" in fails("import", "two.pem", "key.pem", *OWN)
    fake = make("Second", make("First", ca=True), ca=True)
    write("forged.pem", leaf, fake, key=leaf)
    text = fails("import", "forged.pem", *OWN)
    assert "CN=device-17 names CN=Second as its issuer, but is not signed by it" in text
    (folder / "text.pem").write_text("-----BEGIN X-----\nAAAA\n-----END X-----\n")
    assert "found PEM without a certificate" in fails("import", "text.pem", *OWN)
    (folder / "junk").write_text("junk")
    assert "junk: DER" in fails("import", "junk", *OWN)
    assert "gone: No such file" in fails("import", "gone", *OWN)


def test_import_of_keys_in_every_form(folder):
    openssl("genrsa", "-traditional", "-out", "rsa.key", "2048")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.key")  # with EC PARAMETERS before
    secret = ("-passout", "file:otherpw")
    for kind in ("rsa", "ec"):
        key = f"{kind}.key"
        openssl("req", "-x509", "-key", key, "-subj", f"/CN={kind}", "-out", "c.crt", "-days", "9")
        rows = {
            "traditional.pem": (kind, "-in", key, "-out", "traditional.pem"),
            "traditional.der": (kind, "-in", key, "-outform", "DER", "-out", "traditional.der"),
            "legacy.pem": (kind, "-in", key, "-aes128", *secret, "-out", "legacy.pem"),
            "p8.der": ("pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER", "-out", "p8.der"),
            "p8.pem": ("pkcs8", "-topk8", "-in", key, *secret, "-out", "p8.pem"),
            "p8c.der": ("pkcs8", "-topk8", "-in", key, *secret, "-outform", "DER", "-out", "p8c.der"),
            "scrypt.pem": ("pkcs8", "-topk8", "-scrypt", "-in", key, *secret, "-out", "scrypt.pem"),
            "3des.pem": ("pkcs8", "-topk8", "-v2", "des3", "-in", key, *secret, "-out", "3des.pem"),
        }
        for path, words in rows.items():
            openssl(*words if kind == "ec" or words[0] != "rsa" else ("rsa", "-traditional", *words[1:]))
            imported("c.crt", path, "--name", path, "--source-password-file", "otherpw")
            (folder / "k.der").write_bytes(stored()[path].key)
            public = openssl("pkey", "-in", "k.der", "-passin", "file:pw", "-pubout")
            assert public == openssl("pkey", "-in", key, "-pubout"), path
        words = ("import", "c.crt", "p8.pem", *OWN, "--source-password-file", "capw", "--store", "none.bin")
        assert fails(*words) == "securesocket: p8.pem: wrong password, or the key is damaged\n"
        assert "the key in p8.pem needs a password" in fails("import", "c.crt", "p8.pem", *OWN)


def test_import_of_pkcs12(chain, folder):
    leaf, second, first, _ = chain
    write("all.pem", leaf, second, first, key=leaf)
    made = ("pkcs12", "-export", "-in", "all.pem")
    openssl(*made, "-out", "a.p12", "-passout", "file:otherpw")
    openssl(*made, "-out", "named.pfx", "-passout", "file:otherpw", "-name", "my device")
    openssl(*made, "-out", "empty.p12", "-passout", "pass:")
    openssl(*made, "-out", "plain.p12", "-passout", "pass:", "-nomac", "-keypbe", "NONE", "-certpbe", "NONE")
    source = ("--source-password-file", "otherpw")
    for words, label in (
        (("a.p12", *source), "device-17"),
        (("named.pfx", *source), "my device"),
        (("named.pfx", *source, "--name", "mine"), "mine"),
        (("empty.p12", "--name", "empty"), "empty"),
        (("plain.p12", "--name", "plain"), "plain"),
    ):
        imported(*words)
        assert stored()[label].chain == [member.der for member in chain[:3]], words
    text = fails("import", "a.p12", *OWN, "--source-password-file", "pw")
    assert text == "securesocket: a.p12: wrong password, or the key is damaged\n"
    data = (folder / "a.p12").read_bytes()
    (folder / "cut.p12").write_bytes(data[:-9])
    fails("import", "cut.p12", *OWN, *source)


def test_import_of_what_a_device_cannot_use(folder):
    openssl("genrsa", "-out", "weak.key", "1024")
    openssl("req", "-x509", "-key", "weak.key", "-subj", "/CN=x", "-out", "weak.crt", "-days", "9")
    assert "found RSA 1024; expected RSA 2048" in fails("import", "weak.crt", "weak.key", *OWN)
    openssl("genpkey", "-algorithm", "ed25519", "-out", "ed.key")
    openssl("req", "-x509", "-key", "ed.key", "-subj", "/CN=x", "-out", "ed.crt", "-days", "9")
    assert "another kind; expected RSA or EC" in fails("import", "ed.crt", "ed.key", *OWN)


def test_import_tells_of_an_expired_certificate():
    old = make("old", not_before=BEFORE - DAY, not_after=BEFORE)
    write("old.pem", old, key=old)
    assert "note: old expired 20" in imported("old.pem")


def test_names_of_identities_are_printed_escaped():
    odd = make("\x1b[2J", hosts=())
    write("odd.pem", odd, key=odd)
    assert 'identity "\\1B[2J": CN=\\1B[2J' in imported("odd.pem")
    long = make("x" * 64, hosts=())
    write("long.pem", long, key=long)
    imported("long.pem")
    assert "\x1b" not in run("list") + run("list", "--json")


# ---- export, list, remove, password


@pytest.fixture
def device(chain, folder):
    """device.bin with the chain as device-17, and a second identity, plain."""
    write("chain.pem", *chain[:3], key=chain[0])
    imported("chain.pem")
    run("new", "--name", "second", "--subject", "CN=second,O=Acme", "--plain")
    return chain


def test_export_as_pem(device, folder):
    text = run("export", "device-17", "--out", "e", *OWN)
    assert "e.key: private key, encrypted" in text and "e.crt: CN=device-17" in text
    assert [each.public_bytes(Encoding.DER) for each in certificates("e.crt")] == [m.der for m in device[:3]]
    assert (folder / "e.key").stat().st_mode & 0o777 == 0o600
    assert openssl("pkey", "-in", "e.key", "-passin", "file:pw", "-pubout") == openssl(
        "x509", "-in", "e.crt", "-noout", "-pubkey"
    )
    assert "e.crt: exists already" in fails("export", "second", "--out", "e.crt", "--plain")


def test_export_as_pkcs12(device, folder):
    assert "e.p12: private key, encrypted" in run("export", "device-17", "--out", "e", "--pkcs12", *OWN)
    assert (folder / "e.p12").stat().st_mode & 0o777 == 0o600
    shown = openssl("pkcs12", "-in", "e.p12", "-passin", "file:pw", "-nodes", "-info")
    assert "friendlyName: device-17" in shown and shown.count("BEGIN CERTIFICATE") == 3
    assert openssl("pkcs12", "-in", "e.p12", "-passin", "file:capw", "-nodes", check=False) == 1
    imported("e.p12", "--source-password-file", "pw", "--store", "again.bin")
    assert stored("again.bin")["device-17"].chain == stored()["device-17"].chain


@pytest.mark.parametrize("form", [(), ("--pkcs12",)])
def test_passwords_of_exported_files(device, folder, form):
    def opens(path, password):
        """Whether openssl opens the exported file with a password; None is for one that needs none."""
        given = ("-passin", f"file:{password}" if password else "pass:")
        words = (
            ("pkcs12", "-nodes", "-in", f"{path}.p12") if form else ("pkey", "-noout", "-in", f"{path}.key")
        )
        return openssl(*words, *given, check=False) == 0

    run("export", "device-17", "--out", "a", *form, *OWN, "--new-password-file", "otherpw")
    assert opens("a", "otherpw") and not opens("a", "pw")
    run("export", "device-17", "--out", "b", *form, *OWN, "--plain")
    assert opens("b", None)
    # What is plain in the store gets a password in the file, unless --plain is said again.
    assert "needs a password" in fails("export", "second", "--out", "c", *form)
    run("export", "second", "--out", "c", *form, "--new-password-file", "otherpw")
    assert opens("c", "otherpw") and not opens("c", "pw")
    run("export", "second", "--out", "d", *form, "--plain")
    assert opens("d", None)
    assert "wrong password" in fails("export", "device-17", "--out", "x", *form, "--password-file", "otherpw")


def test_list(device):
    lines = run("list").splitlines()
    assert lines[0].split() == ["label", "until", "key", "private", "key", "SKI", "subject"]
    assert len(lines) == 4 and lines[-1] == "2 identities in device.bin"
    assert lines[1].startswith("device-17  20") and " encrypted " in lines[1]
    assert " plain " in lines[2] and lines[2].endswith("CN=second,O=Acme")
    facts = json.loads(run("list", "--json"))
    assert facts["store"] == "device.bin"
    first, second = facts["identities"]
    assert first["label"] == "device-17" and first["encrypted"] is True and second["encrypted"] is False
    assert first["subject"] == "CN=device-17" and first["chain"] == ["CN=device-17", "CN=Second", "CN=First"]
    assert first["sha256"] == sha256(device[0].der).hex()
    assert first["not_after"] == AFTER.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_identity_is_found_by_label_subject_or_ski(device, folder):
    ski = stored()["second"].ski.hex()
    spelled = ":".join(re.findall("..", ski)).upper()
    for number, query in enumerate(("second", "CN=second", "CN=second,O=Acme", ski, spelled)):
        run("export", query, "--out", number, "--plain")
    assert len({(folder / f"{number}.key").read_bytes() for number in range(5)}) == 1
    text = fails("export", "secund", "--out", "x", "--plain")
    assert 'no identity "secund" in device.bin; it has second' in text
    assert "it has device-17, second" in fails("remove", "\x1b")
    run("new", "--name", "third", "--subject", "CN=second,O=Acme", "--plain")
    assert "names several identities; expected one of second, third" in fails("remove", "CN=second")


def test_remove(device):
    assert 'removed identity "device-17"' in run("remove", "device-17")
    assert list(stored()) == ["second"]
    assert "nothing would be left in it; delete the file instead" in fails("remove", "second")


def test_password_is_changed(device, folder):
    before = (folder / "device.bin").read_bytes()
    other = ("--new-password-file", "otherpw")
    assert "wrong password" in fails("password", "device-17", "--password-file", "capw", *other)
    text = run("password", "device-17", *OWN, *other, "--iterations", 4321)
    assert "copies of the file still open as before" in text
    changed = stored()
    (folder / "k.der").write_bytes(changed["device-17"].key)
    assert openssl("pkey", "-in", "k.der", "-passin", "file:pw", "-noout", check=False) == 1
    public = openssl("pkey", "-in", "k.der", "-passin", "file:otherpw", "-pubout")
    assert (
        public
        == device[0].key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )
    assert ":10E1" in openssl("asn1parse", "-inform", "DER", "-in", "k.der")  # 4321
    (folder / "device.bin").write_bytes(before)
    assert stored()["second"].key == changed["second"].key


def test_password_from_and_to_plain(device, folder):
    run("password", "second", "--new-password-file", "otherpw", *FEW)
    assert stored()["second"].encrypted
    run("password", "second", "--password-file", "otherpw", "--plain")
    assert not stored()["second"].encrypted
    (folder / "k.der").write_bytes(stored()["second"].key)
    openssl("pkey", "-in", "k.der", "-noout")


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
    for verb in ("new-ca", "new", "csr", "sign", "import", "export", "list", "remove", "password"):
        result = CliRunner().invoke(cli, ["identity", verb, "--help"])
        assert result.exit_code == 0 and "Usage: " in result.output
        assert not re.search(r"--\S*password (?!file)", result.output), "a password would be an argument"


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
