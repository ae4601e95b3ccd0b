"""`securesocket identity new-ca|new|csr|sign`: what is made, as OpenSSL sees it, and what is refused."""

import datetime
import os
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from certstore import pem
from certstore.certificate import Certificate
from plugins.identity import CA, FEW, OWN, certificates, fails, openssl, openssl_agrees, run, stored, write
from plugins.pki import DAY, NOW, make, name
from securesocket_cli import identity_files, issuing


@pytest.fixture(autouse=True)
def folder(identity_folder):
    return identity_folder


def extension(certificate, kind):
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


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
    assert not openssl_agrees("pkey", "-in", "ca.key", "-passin", "file:capw", "-noout")


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
    ("kind", "text", "signature"),
    [
        ("p384", "EC secp384r1", "ecdsa-with-SHA384"),
        ("rsa2048", "RSA 2048", "sha256WithRSAEncryption"),
        ("rsa3072", "RSA 3072", "sha256WithRSAEncryption"),
    ],
)
def test_kinds_of_keys(kind, text, signature):
    assert text in run("new-ca", "--name", "x", "--key", kind, "--plain")
    assert text in run("new", "--name", "y", "--key", kind, "--ca", "ca.crt", "--out", "y", "--plain")
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "y.crt")
    assert f"Signature Algorithm: {signature}\n" in openssl("x509", "-in", "y.crt", "-noout", "-text")


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
        fits = openssl_agrees("verify", "-CAfile", "ca.crt", "-purpose", f"ssl{purpose}", "d.crt")
        assert fits is (purpose in purposes), purpose
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
    for words in (("new",), ("new-ca",), ("csr", "--out", "x")):
        text = fails(*words, "--name", label, "--plain")
        assert "expected 1 to 64 bytes of printable UTF-8" in text and "\x1b" not in text


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "10.0.0.256",
        "-a.example",
        "a..b",
        "*",
        "a.*",
        "ü.example",
        "x" * 64,
        "a/b",
        "a.b:1",
        "::1%eth0",
        "fe80::g",
    ],
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


def test_nothing_is_valid_before_its_ca():
    young = make("Young", ca=True, not_before=NOW)
    write("young.pem", young, key=young)
    run("new", "--name", "x", "--ca", "young.pem", "--out", "d", "--days", 9, "--plain")
    assert certificates("d.crt")[0].not_valid_before_utc == NOW


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


def test_a_ca_with_a_key_that_no_device_verifies(folder):
    openssl("genrsa", "-out", "weak.key", "1024")
    openssl("req", "-x509", "-key", "weak.key", "-out", "weak.crt", "-subj", "/CN=Weak", "-days", "99")
    assert "CN=Weak: found RSA 1024; expected RSA 2048" in refused("weak.crt")


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


def test_a_request_without_a_subject_has_its_names(ca):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "o.key")
    asked = ("-subj", "/", "-addext", "subjectAltName=DNS:a.example")
    openssl("req", "-new", "-key", "o.key", "-out", "o.csr", *asked)
    run("sign", "o.csr", *CA)
    assert extension(certificates("o.crt")[0], x509.SubjectAlternativeName)[1], "critical: RFC 5280 4.2.1.6"
    openssl("verify", "-x509_strict", "-CAfile", "ca.crt", "-verify_hostname", "a.example", "o.crt")


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
