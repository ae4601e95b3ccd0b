"""`securesocket identity new|import|export|list|remove|password`: identities in a store, and on their way in
and out; OpenSSL reads what is written, and what OpenSSL writes is read."""

import json
import pathlib
import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certstore import anchors, keys
from certstore.certificate import Certificate
from certstore.identities import Stored
from certstore.store import CertStore
from plugins import command
from plugins.identity import (
    CA,
    FEW,
    OWN,
    PASSWORD,
    certificates,
    fails,
    openssl,
    openssl_agrees,
    run,
    stored,
    write,
)  # fmt: skip
from plugins.interpreters import ROOT
from plugins.pki import AFTER, BEFORE, DAY, make, sha256
from securesocket_cli import identity_output


@pytest.fixture(autouse=True)
def folder(identity_folder):
    return identity_folder


def new(*words, **how):
    return run("new", *words, *OWN, *FEW, **how)


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
    words = ("--no-mozilla", "--add", "ca.crt", "--build-time", "1767225600", "--out", "s.bin")
    command.run("store", "build", *words)
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


def test_what_hides_a_root_of_a_store_below_stays(ca, folder):
    hidden = (b"s" * 20, b"hash")
    (folder / "changes.bin").write_bytes(anchors.build([], 7, removed=[hidden]))
    new("--name", "a", *CA, "--store", "changes.bin")
    run("remove", "a", "--store", "changes.bin")
    store = CertStore((folder / "changes.bin").read_bytes())
    assert store.is_removed(0) and (store.ski(0), store.entry(0)[:4]) == hidden and len(store) == 1


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
    identity = stored()["x" * 64]
    # As a device may have written it.
    device = [Stored("\x1b[2J\u202e", identity.chain, identity.key)]
    pathlib.Path("device.bin").write_bytes(anchors.build([], 7, device))
    text = run("list") + run("password", identity.ski.hex(), *OWN, "--plain")
    assert "\\1B[2J\\u{202E}" in text and "\x1b" not in text
    text = run("list", "--json")
    assert json.loads(text)["identities"][0]["label"] == "\x1b[2J\u202e" and "\x1b" not in text


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
    assert not openssl_agrees("pkcs12", "-in", "e.p12", "-passin", "file:capw", "-nodes")
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
        return openssl_agrees(*words, *given)

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
    assert not openssl_agrees("pkey", "-in", "k.der", "-passin", "file:pw", "-noout")
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
