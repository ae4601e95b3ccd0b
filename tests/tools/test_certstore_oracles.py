"""certstore against those who share no code with it: cryptography on every Mozilla root, openssl on keys."""

import importlib.util
import pathlib
import re
import subprocess

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certstore import keys, names, pem, subjects
from certstore.certificate import Certificate

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests" / "vectors"

# One of Mozilla's roots has a serial number of 0, one of our names 500 characters.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number", "ignore:Attribute's length must be")


def generator():
    spec = importlib.util.spec_from_file_location("make_certificates", VECTORS / "make_certificates.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MOZILLA = pem.decode(pathlib.Path(certifi.where()).read_bytes())


def test_all_of_certifi_is_read():
    theirs = x509.load_pem_x509_certificates(pathlib.Path(certifi.where()).read_bytes())
    assert len(MOZILLA) == len(theirs) > 100
    expected = [each.fingerprint(hashes.SHA256()) for each in theirs]
    assert [Certificate(der).fingerprint() for der in MOZILLA] == expected


def test_mozillas_roots_as_cryptography_reads_them():
    facts = generator().facts
    for der in MOZILLA:
        expected = facts(der)
        seen = Certificate(der)
        for field in ("version", "not_before", "not_after", "key_type", "key_bits", "curve", "is_ca"):
            assert getattr(seen, field) == expected[field], (seen.subject, field)
        for field in ("path_length", "key_usage", "dns_names", "ip_addresses", "signature_hash"):
            assert getattr(seen, field) == expected[field], (seen.subject, field)
        for field in ("ski", "aki", "issuer", "subject"):
            value = getattr(seen, field)
            assert (value if value is None else bytes(value).hex()) == expected[field], field
        assert seen.pin().hex() == expected["pin"]
        assert seen.may_issue


def in_rfc4514(name):
    """cryptography's text with our short names, or None where it spells a value otherwise than RFC 4514."""
    short = {x509.NameOID.SERIAL_NUMBER: "serialNumber", x509.NameOID.EMAIL_ADDRESS: "emailAddress"}
    text = name.rfc4514_string(short)
    return None if re.search(r"(^|[,+])\d+(\.\d+)+=", text) else text


def test_subjects_as_cryptography_writes_them():
    compared = 0
    vectors = [path.read_bytes() for path in sorted((VECTORS / "certificates").glob("*.der"))]
    for der in MOZILLA + vectors:
        theirs = x509.load_der_x509_certificate(der).subject
        expected = in_rfc4514(theirs)
        ours = names.format_name(Certificate(der).subject, 1000)
        if expected is not None and "\\u{" not in ours:
            assert ours == expected
            compared += 1
    assert compared > len(MOZILLA) - 10, compared


def test_subject_hashes_of_mozillas_roots_tell_them_apart():
    known = {bytes(Certificate(der).subject) for der in MOZILLA}
    assert len({subjects.subject_hash(subject) for subject in known}) == len(known)


def test_vectors_are_what_their_generator_makes(tmp_path):
    generator().main(tmp_path)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")}
    kept = {
        path.relative_to(VECTORS)
        for folder in ("certificates", "keys")
        for path in (VECTORS / folder).iterdir()
    }
    assert made == kept
    for path in made:
        # Encryption salts itself at random: those files are kept, not made again.
        if not path.name.startswith("encrypted"):
            assert (tmp_path / path).read_bytes() == (VECTORS / path).read_bytes(), path


def openssl(*words, data=None):
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=True)
    return done.stdout


KEY_COMMANDS = {
    "RSA in PKCS#8": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-256 in PKCS#8": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-521 in PKCS#8": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "P-384 in SEC 1 with EC PARAMETERS": ["ecparam", "-name", "secp384r1", "-genkey"],
    "brainpool in PKCS#8": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
}


@pytest.mark.parametrize("words", KEY_COMMANDS.values(), ids=KEY_COMMANDS.keys())
def test_keys_of_openssl(words, tmp_path):
    text = openssl(*words)
    kind, der = keys.private_key(text)
    # The same key in openssl's own eyes: it writes both to the same public key.
    public = openssl("pkey", "-pubout", "-outform", "DER", data=text)
    assert openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=der) == public
    traditional = openssl("pkey", "-traditional", "-outform", "DER", data=text)
    assert der == traditional and kind == ("RSA" if "RSA" in words else "EC")
    assert keys.private_key(traditional) == (kind, der)
    path = tmp_path / "key.pem"
    path.write_bytes(text)
    certificate = openssl(
        "req", "-x509", "-new", "-key", str(path), "-subj", "/CN=x", "-days", "2", "-outform", "DER"
    )
    assert keys.matches(kind, der, Certificate(certificate)) is True


@pytest.mark.parametrize("form", [["-traditional"], []])
def test_encrypted_keys_of_openssl(form):
    text = openssl(*KEY_COMMANDS["P-256 in PKCS#8"])
    locked = openssl("pkey", "-aes128", "-passout", "pass:secret", *form, data=text)
    with pytest.raises(keys.FormatError) as caught:
        keys.private_key(locked)
    assert caught.value.code == "key-encrypted"


def test_error_codes_are_unique_sentences():
    from certstore import sentences

    seen = {}
    for _, codes in sentences.SENTENCES:
        for code, sentence, _ in codes:
            assert seen.setdefault(code, sentence) == sentence
    assert len(set(seen.values())) == len(seen) > 20
