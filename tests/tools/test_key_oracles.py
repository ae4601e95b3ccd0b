"""Private keys, both ways, against those who share no code with us: openssl and cryptography; two builds."""

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from certstore import keys, pbes2, pem, pkcs8
from certstore.errors import FormatError
from plugins.interpreters import command

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "keys"
PASSWORD = "correct horse ✓"
LABEL = "ENCRYPTED PRIVATE KEY"
KINDS = {
    "RSA": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "P-256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "P-384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "P-521": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "secp256k1": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
}
CIPHERS = {"aes-128-cbc": 128, "aes-256-cbc": 256}
BUILDS = ("stock", "stock32")


def openssl(*words, data=None):
    done = subprocess.run(["openssl", *words], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def lock(data, *words, password=PASSWORD, form="PEM"):
    """What `openssl pkcs8 -topk8` makes of a key."""
    words = ("-outform", form, "-passout", "pass:" + password, *words)
    return openssl("pkcs8", "-topk8", *words, data=data)


@pytest.fixture(scope="module")
def fresh():
    """{kind: (PEM of a new key in PKCS#8, what keys.private_key must make of it)}"""
    made = {}
    for kind, words in KINDS.items():
        text = openssl("genpkey", *words)
        traditional = openssl("pkey", "-traditional", "-outform", "DER", data=text)
        made[kind] = text, ("RSA" if kind == "RSA" else "EC", traditional)
    return made


def in_der(text):
    return openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", data=text)


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_openssl_writes_is_read(fresh, kind, cipher, form):
    text, expected = fresh[kind]
    for count in ("1", "2048"):
        data = lock(text, "-v2", cipher, "-v2prf", "hmacWithSHA256", "-iter", count, form=form)
        assert keys.private_key(data, PASSWORD) == expected
        assert keys.private_key(data, bytearray(PASSWORD.encode())) == expected
        with pytest.raises(keys.BadPassword):
            keys.private_key(data, PASSWORD[:-1])


def test_openssls_own_choices_are_read(fresh):
    text, expected = fresh["P-256"]
    assert keys.private_key(lock(text), PASSWORD) == expected
    assert keys.private_key(lock(text, password=""), "") == expected
    assert keys.private_key(openssl("pkey", "-aes256", "-passout", "pass:x", data=text), "x") == expected


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("kind", KINDS)
def test_what_we_write_openssl_reads(fresh, kind, bits):
    text, key = fresh[kind]
    plain = pkcs8.wrap(*key)
    for password in (PASSWORD, "x" * 64, "x" * 65, ""):
        der = pbes2.encrypt(plain, password, 100, bits)
        words = ("pkey", "-passin", "pass:" + password, "-outform", "DER")
        assert openssl(*words, data=pem.encode(der, LABEL).encode()) == openssl(
            "pkey", "-outform", "DER", data=text
        )
        assert openssl(*words, "-inform", "DER", data=der) == openssl("pkey", "-outform", "DER", data=text)


def parameters(der):
    """Salt, iterations, IV of an encrypted key, as openssl reads them."""
    text = openssl("asn1parse", "-inform", "DER", data=der).decode()
    salt, iv, _ = re.findall(r"OCTET STRING\s+\[HEX DUMP\]:([0-9A-F]+)", text)
    count = re.search(r"INTEGER\s+:([0-9A-F]+)", text)[1]
    return bytes.fromhex(salt), int(count, 16), bytes.fromhex(iv)


@pytest.mark.parametrize("count", [1, 127, 128, 10000, 32768, 600000])
@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_the_bytes_are_openssls(fresh, kind, cipher, count):
    text, key = fresh[kind]
    theirs = lock(text, "-v2", cipher, "-v2prf", "hmacWithSHA256", "-iter", str(count), form="DER")
    salt, seen, iv = parameters(theirs)
    assert seen == count
    assert pbes2.seal(pkcs8.wrap(*key), PASSWORD, salt, iv, count, CIPHERS[cipher]) == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_pkcs8_is_openssls(fresh, kind):
    text, key = fresh[kind]
    assert pkcs8.wrap(*key) == in_der(text)
    assert keys.private_key(in_der(text)) == key


def test_pkcs8_of_other_forms_is_openssls(fresh):
    for words in (("-conv_form", "compressed"), ("-param_enc", "explicit")):
        text = openssl("ec", *words, data=fresh["P-256"][0])
        assert pkcs8.wrap(*keys.private_key(text)) == in_der(text), words


@pytest.mark.parametrize("kind", KINDS)
def test_what_cryptography_writes_is_read_and_the_other_way_round(fresh, kind):
    text, expected = fresh[kind]
    theirs = serialization.load_pem_private_key(text, None)
    enc, fmt = serialization.Encoding, serialization.PrivateFormat.PKCS8
    ours = pbes2.encrypt(pkcs8.wrap(*expected), PASSWORD, 100)
    loaded = serialization.load_der_private_key(ours, PASSWORD.encode())
    assert loaded.private_numbers() == theirs.private_numbers()
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    for encoding in (enc.PEM, enc.DER):
        data = theirs.private_bytes(encoding, fmt, encryption)
        assert keys.private_key(data, PASSWORD) == expected


@pytest.mark.parametrize("name", ["sha1", "sha512", "aes192", "des3", "pbes1", "scrypt"])
def test_the_remedy_converts_what_is_refused(name, tmp_path):
    data = (VECTORS / f"encrypted_{name}.der").read_bytes()
    with pytest.raises(FormatError) as caught:
        keys.private_key(data, "password")
    assert keys.private_key(converted(caught.value, data, tmp_path), "password")[0] == "EC"


def test_the_remedy_against_too_many_iterations(fresh, tmp_path):
    text, expected = fresh["P-256"]
    data = lock(text, "-iter", "1000001", password="password")
    with pytest.raises(FormatError) as caught:
        keys.private_key(data, "password")
    assert caught.value.code == "iterations" and caught.value.found == "1000001"
    assert keys.private_key(converted(caught.value, data, tmp_path), "password") == expected


def converted(error, data, folder):
    """What the command that an error names makes of a key."""
    _, _, shown = error.remedy.partition("openssl ")
    before, after = folder / "before", folder / "after"
    before.write_bytes(data)
    words = [{"KEY": str(before), "NEW": str(after)}.get(word, word) for word in shown.split()]
    openssl(*words, "-passin", "pass:password", "-passout", "pass:password")
    return after.read_bytes()


def test_the_remedy_of_a_wrong_password_tells(fresh, tmp_path):
    path = tmp_path / "key"
    path.write_bytes(lock(fresh["P-256"][0]))
    with pytest.raises(keys.BadPassword) as caught:
        keys.private_key(path.read_bytes(), "wrong")
    shown = re.search(r"openssl (.*? KEY)", caught.value.remedy)[1].replace("KEY", str(path)).split()
    for password, status in ((PASSWORD, 0), ("wrong", 1)):
        done = subprocess.run(["openssl", *shown, "-passin", "pass:" + password], capture_output=True)
        assert done.returncode == status


@pytest.mark.parametrize("words", [(), ("-newhdr",)])
def test_requests_of_openssl(fresh, tmp_path, words):
    path = tmp_path / "key"
    path.write_bytes(fresh["P-256"][0])
    text = openssl("req", "-new", "-key", str(path), "-subj", "/CN=x", *words)
    assert (b"NEW CERTIFICATE REQUEST" in text) is bool(words)
    (der,) = pem.decode(text, "CERTIFICATE REQUEST")
    assert der == openssl("req", "-outform", "DER", data=text)


# Reads and writes each key of a folder: KIND.locked -> KIND.plain, KIND.128 and KIND.256.
ON_DEVICE = """
import sys
from certstore import keys, pbes2, pkcs8
folder, password = sys.argv[1:3]
for kind in sys.argv[3:]:
    with open(folder + "/" + kind + ".locked", "rb") as file:
        key = keys.private_key(file.read(), password)
    with open(folder + "/" + kind + ".plain", "wb") as file:
        file.write(key[1])
    for bits in (128, 256):
        with open(folder + "/%s.%d" % (kind, bits), "wb") as file:
            file.write(pbes2.encrypt(pkcs8.wrap(*key), password, 50, bits))
"""


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("build", BUILDS)
def test_on_micropython_both_ways(fresh, build, cipher, form, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ON_DEVICE)
    for kind, (text, _) in fresh.items():
        (tmp_path / f"{kind}.locked").write_bytes(lock(text, "-v2", cipher, "-iter", "50", form=form))
    argv, env = command(build, script, str(tmp_path), PASSWORD, *fresh)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind, (text, key) in fresh.items():
        assert (tmp_path / f"{kind}.plain").read_bytes() == key[1], kind
        for bits in (128, 256):
            words = ("-passin", "pass:" + PASSWORD, "-in", str(tmp_path / f"{kind}.{bits}"))
            read = openssl("pkey", "-inform", "DER", "-outform", "DER", *words)
            assert read == openssl("pkey", "-outform", "DER", data=text), (kind, bits)
