"""certstore.identities: a chain and its key in a store, found by name, given out unlocked, never shown."""

import binascii

import securesocket.stores as stores
from certstore import anchors, layout, pbes2, pem
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.errors import BadPassword, CorruptStore, FormatError, NotFound, SecureSocketError, StoreError
from certstore.identities import Stored, order_chain
from certstore.store import CertStore
from certstore.writer import Entries, Writer
from folder import (
    BUILT,
    DEVICE,
    EC,
    PATH0,
    PLAIN_KEY,
    RSA,
    Folder,
    Patched,
    blob_of,
    get,
    names,
    put,
    shown_of,
)
from folder import shown as shows
from securesocket.context import SecureContext
from support import ALGORITHM, SIGNATURE, UNTIL_2049, UTC, VERSION_3, common_name, extension, raises, vector

SEC1 = vector("keys/ec_sec1.der")
SECRET = SEC1[7:39]
PASSWORD = "correct horse 7"
RSA_KEY = vector("keys/rsa_pkcs8.der")
KEY_384 = vector("keys/ec384_sec1.pem")
KEY_INFO = Certificate(EC).public_key_info


def issued(subject, issuer, key_info=KEY_INFO, extensions=()):
    """A certificate with these names and, if nothing else is asked for, the public key of SEC1."""
    name, by = common_name(subject), common_name(issuer)
    parts = [VERSION_3, b"\2\1\1", ALGORITHM, by, encode(0x30, UTC + UNTIL_2049), name, key_info]
    if extensions:
        parts.append(encode(0xA3, encode(0x30, *extensions)))
    return encode(0x30, encode(0x30, *parts), ALGORITHM, SIGNATURE)


def ca(subject, issuer):
    return issued(subject, issuer, Certificate(RSA).public_key_info)


LEAF = issued(b"device-17", b"inner")
INNER = ca(b"inner", b"outer")
OUTER = ca(b"outer", b"outer")
CHAIN = [LEAF, INNER, OUTER]


def locked(label, password, chain=(EC,), key=PLAIN_KEY):
    """An identity whose key is encrypted with few iterations."""
    return Stored(label, list(chain), pbes2.encrypt(key, password, 10))


def store_of(*identities, certificates=(RSA,)):
    return CertStore(anchors.build(certificates, BUILT, identities))


class InFile:
    """A CertStore in a file, with these identities; few iterations for what is added."""

    def __init__(self, *identities):
        self._folder = Folder()
        self._blob = anchors.build([RSA], BUILT, identities)

    def __enter__(self):
        self.path = self._folder.__enter__() + "s"
        put(self.path, self._blob)
        self._few = Patched(pbes2, "ITERATIONS", 10)
        self._few.__enter__()
        self.store = CertStore(self.path)
        return self

    def __exit__(self, *_):
        self._few.__exit__()
        self.store.close()
        self._folder.__exit__()

    def is_unchanged(self):
        return get(self.path) == self._blob == blob_of(self.store) and names(self.path[:-1]) == ["s"]


def refuse(held, kind, code, *args, **how):
    error = raises(kind, code, lambda: held.store.add_identity(*args, **how))
    assert held.is_unchanged()
    shows_no_secret(error)
    return error


def shows_no_secret(*things):
    for thing in things:
        for text in (str(thing), repr(thing)):
            assert SECRET[:6].hex() not in text and repr(SECRET[:6])[2:-1] not in text
            assert "horse" not in text and "assword 7" not in text


# ---- what is stored ----


def test_identities_are_read_as_they_were_stored():
    stored = [DEVICE, locked("unit 2", PASSWORD, CHAIN), Stored("rsa", [RSA], RSA_KEY)]
    blob = anchors.build([RSA], BUILT, stored)
    with Folder() as folder:
        put(folder + "s", blob)
        for source in (blob, folder + "s"):
            store = CertStore(source)
            store.verify()
            assert store.identity_count == 3
            for number, expected in enumerate(stored):
                found = store.identity(number)
                assert (found.label, found.chain, found.key) == (expected.label, expected.chain, expected.key)
                assert found.encrypted == (number == 1)
                assert bytes(found.ski) == bytes(Certificate(expected.chain[0]).ski)
            assert [store.identity(n).subject for n in range(3)] == [
                "CN=EC Root",
                "CN=device-17",
                "CN=RSA Root,O=Test\\, Inc.,C=XX",
            ]
            for number in (-1, 3, 255):
                raises(NotFound, "not-found", store.identity, number)
            # They are none of the certificates.
            assert len(store) == 1 and shows(store) == shown_of(RSA)
            store.close()


def test_repr_shows_no_key():
    for identity, word in ((DEVICE, "plain"), (locked("device", PASSWORD), "encrypted")):
        assert repr(identity) == "<identity 'device', CN=EC Root, key %s>" % word
        shows_no_secret(identity, store_of(identity), store_of(identity).identity(0))


def test_labels():
    good = ("a", "a" * 64, "\u00e4" * 32, "\U0001f511" * 16, " ", "CN=x", "\n")
    for label in good:
        store = store_of(Stored(label, [EC], PLAIN_KEY))
        store.verify()
        assert store.identity(0).label == label and store.find_identity(label) == 0
        with InFile() as held:
            held.store.add_identity(label, EC, SEC1, plain=True)
            assert held.store.identity(0).label == label
    for label in ("", "a" * 65, "\u00e4" * 33, b"bytes", None, 7):
        raises(StoreError, "identity-label", store_of, Stored(label, [EC], PLAIN_KEY))
        with InFile() as held:
            refuse(held, StoreError, "identity-label", label, EC, SEC1, plain=True)


def test_a_label_is_there_once():
    raises(StoreError, "identity-exists", store_of, DEVICE, DEVICE)
    with InFile(DEVICE) as held:
        refuse(held, StoreError, "identity-exists", "device", EC, SEC1, plain=True)
        refuse(held, StoreError, "identity-exists", "device", EC, SEC1, password=PASSWORD)
        held.store.add_identity("device 2", EC, SEC1, plain=True)


def test_parts_that_are_too_large():
    long = issued(b"x", b"x", extensions=(extension(99, bytes(65536)),))
    raises(StoreError, "store-size", store_of, Stored("a", [long], PLAIN_KEY))


def test_how_many():
    rows = [Stored("device %d" % number, [EC], PLAIN_KEY) for number in range(256)]
    store = store_of(*rows[:255])
    store.verify()
    assert store.identity_count == 255 and store.identity(254).label == "device 254"
    raises(StoreError, "store-full", store_of, *rows)


# ---- found ----


def test_find():
    named = encode(
        0x30,
        *[
            encode(0x31, encode(0x30, encode(0x06, bytes((0x55, 4, number))), encode(0x0C, text)))
            for number, text in ((10, b"Acme, Inc."), (3, b"device-18"))
        ],
    )
    whole = encode(
        0x30,
        encode(0x30, VERSION_3, b"\2\1\1", ALGORITHM, named, encode(0x30, UTC + UNTIL_2049), named, KEY_INFO),
        ALGORITHM,
        SIGNATURE,
    )
    other = Stored("b", [whole], PLAIN_KEY)
    store = store_of(Stored("a", CHAIN, PLAIN_KEY), other, Stored("c", [RSA], RSA_KEY))
    rows = (
        ("a", 0),
        ("CN=device-17", 0),
        ("b", 1),
        ("CN=device-18", 1),
        ("CN=device-18,O=Acme\\, Inc.", 1),
        (other.subject, 1),
        ("c", 2),
        (Certificate(RSA).ski, 2),
        (bytearray(Certificate(RSA).ski), 2),
        (Certificate(RSA).ski.hex(), 2),
    )
    for query, number in rows:
        assert store.find_identity(query) == number, query
    for query in ("", "A", "device-17", "CN=device", "CN=device-17 ", "CN=inner", "O=Acme\\, Inc.", "none"):
        error = raises(NotFound, "not-found", store.find_identity, query)
        assert "identity" in error.found or query in error.found
    for query in (b"", b"a", bytes(20), Certificate(RSA).ski[:-1]):
        raises(NotFound, "not-found", store.find_identity, query)


def test_several_of_one_name():
    store = store_of(DEVICE, Stored("second", [EC], PLAIN_KEY), Stored("CN=EC Root", [RSA], RSA_KEY))
    # A label comes first.
    assert store.find_identity("CN=EC Root") == 2
    for query in (Certificate(EC).ski, Certificate(EC).ski.hex()):
        error = raises(StoreError, "identity-many", store.find_identity, query)
        assert error.found == "'device', 'second'"
    store = store_of(DEVICE, Stored("second", [EC], PLAIN_KEY))
    raises(StoreError, "identity-many", store.private_identity, "CN=EC Root")
    assert store.private_identity("second")[0] == [EC]


# ---- added ----


def test_add():
    with InFile() as held:
        assert held.store.add_identity("plain", CHAIN, SEC1, plain=True) is False
        assert held.store.add_identity("locked", CHAIN, SEC1, password=PASSWORD) is False
        for store in (held.store, CertStore(held.path)):
            store.verify()
            assert store.private_identity("plain") == (CHAIN, SEC1)
            assert not store.identity(0).encrypted and store.identity(1).encrypted
            raises(StoreError, "identity-locked", store.private_identity, "locked")
            assert store.unlock(PASSWORD) == 1
            assert store.private_identity("locked") == (CHAIN, SEC1)
            assert SECRET not in store.identity(1).record()
            store.close()


def test_a_key_is_plain_by_choice_only():
    with InFile() as held:
        for how in ({}, {"plain": False}, {"password": PASSWORD, "plain": True}, {"password": None}):
            refuse(held, StoreError, "identity-password", "a", EC, SEC1, **how)
        # A password of no characters is one.
        held.store.add_identity("a", EC, SEC1, password="")
        assert held.store.identity(0).encrypted and held.store.unlock(b"") == 1


def test_forms_of_keys_and_chains():
    keys = (
        (SEC1, {}),
        (PLAIN_KEY, {}),
        (vector("keys/ec_pkcs8_v2.der"), {}),
        (pem.encode(SEC1, "EC PRIVATE KEY"), {}),
        (vector("keys/encrypted_aes256.der"), {"key_password": "password"}),
        (vector("keys/encrypted_pkcs8.pem"), {"key_password": b"password"}),
    )
    chains = (
        EC,
        memoryview(EC),
        [EC],
        (EC,),
        pem.encode(EC),
        pem.encode(EC).encode(),
        [pem.encode(EC)],
        [[EC]],
    )
    for key, how in keys:
        for chain in chains if key is SEC1 else (EC,):
            with InFile() as held:
                assert not held.store.add_identity("a", chain, key, plain=True, **how)
                assert held.store.private_identity("a") == ([EC], SEC1)
                assert held.store.identity(0).key == PLAIN_KEY
    for chain, key, der in ((RSA, RSA_KEY, vector("keys/rsa_pkcs1.der")), (PATH0, KEY_384, None)):
        with InFile() as held:
            held.store.add_identity("a", chain, key, plain=True)
            found = held.store.private_identity("CN=" + ("RSA Root" if der else "P-384"))
            assert found[0] == [chain] and (der is None or found[1] == der)


def test_keys_that_are_none():
    locked_key = vector("keys/encrypted_aes256.der")
    rows = (
        (b"", {}, FormatError, "key"),
        (SEC1[:-1], {}, FormatError, "key"),
        (EC, {}, FormatError, "key"),
        ("no key", {}, FormatError, "key"),
        (locked_key, {}, FormatError, "key-encrypted"),
        (locked_key, {"key_password": "Password"}, BadPassword, "password"),
        (SEC1, {"key_password": "password"}, FormatError, "key-plain"),
        (vector("keys/ed25519_pkcs8.der"), {}, FormatError, "key"),
    )
    with InFile() as held:
        for key, how, kind, code in rows:
            refuse(held, kind, code, "a", EC, key, plain=True, **how)


def test_a_key_of_another_certificate():
    with InFile() as held:
        for chain, key in ((RSA, SEC1), (EC, RSA_KEY), (PATH0, SEC1), (EC, KEY_384), ([RSA, PATH0], SEC1)):
            error = refuse(held, FormatError, "chain", "a", chain, key, plain=True)
            assert "public key of this private key" in error.expected
        error = refuse(held, FormatError, "chain", "a", [RSA, PATH0], SEC1, plain=True)
        assert error.found == "CN=RSA Root,O=Test\\, Inc.,C=XX; CN=P-384"


# ---- the order of a chain ----


def orders(items):
    if len(items) < 2:
        yield list(items)
        return
    for at, item in enumerate(items):
        for rest in orders(items[:at] + items[at + 1 :]):
            yield [item] + rest


def test_a_chain_out_of_order_is_repaired():
    for size in (1, 2, 3):
        for order in orders(CHAIN[:size]):
            expected = (CHAIN[:size], order != CHAIN[:size])
            assert order_chain(order, "EC", SEC1) == expected
            with InFile() as held:
                assert held.store.add_identity("a", order, SEC1, plain=True) == expected[1]
                assert held.store.identity(0).chain == CHAIN[:size]
    assert order_chain([OUTER, LEAF, OUTER, INNER, LEAF], "EC", SEC1) == (CHAIN, True)
    assert order_chain([LEAF, LEAF], "EC", SEC1) == ([LEAF], True)
    text = "".join([pem.encode(der) for der in (OUTER, INNER, LEAF)])
    with InFile() as held:
        assert held.store.add_identity("a", text, SEC1, plain=True) is True
        assert held.store.identity(0).chain == CHAIN


def test_chains_that_are_none():
    rows = (
        ([], "no certificate"),
        ([INNER, OUTER], "CN=inner; CN=outer"),
        # One is missing, one belongs to another, one stands for itself.
        ([LEAF, OUTER], "CN=outer"),
        ([OUTER, LEAF], "CN=outer"),
        ([LEAF, INNER, OUTER, PATH0], "CN=P-384"),
        ([EC, OUTER], "CN=outer"),
        # Two with the key.
        ([LEAF, EC], "CN=EC Root"),
    )
    for chain, found in rows:
        error = raises(FormatError, "chain", order_chain, chain, "EC", SEC1)
        assert error.found == found, error.found
        with InFile() as held:
            refuse(held, FormatError, "chain", "a", chain, SEC1, plain=True)
    with InFile() as held:
        refuse(held, FormatError, "der-truncated", "a", [EC[:-1]], SEC1, plain=True)
        refuse(held, FormatError, "pem-none", "a", pem.encode(SEC1, "EC PRIVATE KEY"), SEC1, plain=True)


def test_ten_certificates_and_no_more():
    links = [issued(b"0", b"1")] + [ca(b"%d" % at, b"%d" % (at + 1)) for at in range(1, 11)]
    for order in (links[:10], list(reversed(links[:10]))):
        assert order_chain(order, "EC", SEC1)[0] == links[:10]
    store = store_of(Stored("a", links[:10], PLAIN_KEY))
    store.verify()
    assert store.identity(0).chain == links[:10]
    error = raises(FormatError, "chain", order_chain, links, "EC", SEC1)
    assert error.found == "11 certificates" and error.expected == "at most 10"


def test_of_two_issuers_of_one_name_the_one_with_the_key():
    # The other leads nowhere then, and the chain is refused rather than guessed.
    with_ski = [
        issued(b"inner", b"outer", Certificate(RSA).public_key_info, (extension(14, b"\4\4" + ski),))
        for ski in (b"one.", b"two.")
    ]
    leaf = issued(b"device-17", b"inner", extensions=(extension(35, b"\x30\x06\x80\x04two."),))
    for order in orders([leaf, with_ski[1], OUTER]):
        assert order_chain(order, "EC", SEC1)[0] == [leaf, with_ski[1], OUTER]
    for order in orders([leaf] + with_ski):
        error = raises(FormatError, "chain", order_chain, order, "EC", SEC1)
        assert error.found == "CN=inner"


def test_names_in_a_circle():
    circle = [issued(b"a", b"b"), ca(b"b", b"c"), ca(b"c", b"b")]
    for order in orders(circle):
        assert order_chain(order, "EC", SEC1)[0] == circle


# ---- removed ----


def test_remove():
    three = [DEVICE, Stored("second", [RSA], RSA_KEY), locked("third", PASSWORD, CHAIN)]
    for query, left in (
        ("device", three[1:]),
        ("CN=RSA Root", three[::2]),
        ("CN=device-17", three[:2]),
    ):
        with InFile(*three) as held:
            held.store.remove_identity(query)
            held.store.verify()
            assert get(held.path) == anchors.build([RSA], BUILT, left)
            raises(NotFound, "not-found", held.store.remove_identity, query)
    with InFile(DEVICE, Stored("second", [EC], PLAIN_KEY)) as held:
        raises(StoreError, "identity-many", held.store.remove_identity, "CN=EC Root")
        assert held.is_unchanged()


def test_a_removed_key_is_overwritten():
    with InFile(locked("device", PASSWORD)) as held:
        held.store.unlock(PASSWORD)
        key = held.store.keys["device"]
        assert bytes(key) == SEC1
        held.store.remove_identity("device")
        assert not any(key) and "device" not in held.store.keys
        # Nor is it there for another of this label.
        held.store.add_identity("device", EC, SEC1, password="another")
        raises(StoreError, "identity-locked", held.store.private_identity, "device")


def test_two_programs_change_the_identities_of_one_file():
    with InFile(DEVICE) as held:
        other = CertStore(held.path)
        assert held.store.add_identity("second", EC, SEC1, plain=True) is False
        other.add_identity("third", EC, SEC1, plain=True)
        held.store.remove_identity("third")
        other.remove_identity("device")
        other.verify()
        assert other.identity_count == 1 and other.identity(0).label == "second"
        raises(NotFound, "not-found", held.store.remove_identity, "device")
        other.close()


# ---- locked and unlocked ----


def test_a_locked_store_serves_anchors_and_refuses_keys():
    store = store_of(locked("device", PASSWORD), certificates=(RSA, PATH0))
    store.verify()
    assert store.find(Certificate(RSA).ski) >= 0 and shows(store) == shown_of(RSA, PATH0)
    for query in ("device", "CN=EC Root", Certificate(EC).ski):
        error = raises(StoreError, "identity-locked", store.private_identity, query)
        assert error.found == "'device'" and "unlock" in error.remedy
    store.unlock(PASSWORD)
    assert store.private_identity("device") == ([EC], SEC1)
    store.lock()
    store.lock()
    raises(StoreError, "identity-locked", store.private_identity, "device")


def test_passwords():
    password = "p\u00e4ssword 7"
    store = store_of(locked("device", password))
    for wrong in ("", "password", "p\u00e4ssword 7 ", "P\u00e4ssword 7", b"", b"p\xe4ssword 7", "x" * 1000):
        error = raises(BadPassword, "password", store.unlock, wrong)
        shows_no_secret(error)
        assert password not in str(error) and not store.keys
        raises(StoreError, "identity-locked", store.private_identity, "device")
    for right in (password, password.encode(), bytearray(password.encode())):
        assert store.unlock(right) == 1
        store.lock()


def test_identities_of_several_passwords():
    store = store_of(
        locked("a", "one"),
        locked("b", "two", CHAIN),
        Stored("plain", [EC], PLAIN_KEY),
        locked("c", "one", [RSA], RSA_KEY),
    )
    assert store.unlock("one") == 2
    assert store.private_identity("a")[0] == [EC]
    assert store.private_identity("c") == ([RSA], vector("keys/rsa_pkcs1.der"))
    raises(StoreError, "identity-locked", store.private_identity, "b")
    raises(BadPassword, "password", store.unlock, "three")
    # What was open stays open.
    assert store.private_identity("a")[1] == SEC1
    assert store.unlock("two") == 1
    assert store.private_identity("CN=device-17") == (CHAIN, SEC1)
    assert store.private_identity("plain") == ([EC], SEC1)
    store.lock()
    # One of them only.
    assert store.unlock("one", "c") == 1
    raises(StoreError, "identity-locked", store.private_identity, "a")
    assert store.unlock("two", "CN=device-17") == 1
    assert store.unlock("one", Certificate(EC).ski) == 1
    raises(BadPassword, "password", store.unlock, "one", "b")
    for query in ("none", "plain", b"1234"):
        raises(NotFound, "not-found", store.unlock, "one", query)
    raises(NotFound, "not-found", store_of(DEVICE).unlock, PASSWORD)
    raises(NotFound, "not-found", store_of().unlock, PASSWORD)


def test_lock_overwrites():
    for end in ("lock", "close"):
        store = store_of(locked("a", "one"), locked("b", "two"))
        store.unlock("one")
        first = store.keys["a"]
        store.unlock("one")
        store.unlock("two")
        held = list(store.keys.values())
        assert [bytes(key) for key in held] == [SEC1, SEC1]
        # Decrypted twice: the first is not left behind.
        assert not any(first)
        getattr(store, end)()
        assert not any([byte for key in held for byte in key]) and not store.keys


def test_more_iterations_than_allowed():
    slow = Stored("slow", [EC], pbes2.seal(PLAIN_KEY, b"one", bytes(16), bytes(16), 12, 256))
    store = store_of(slow)
    raises(FormatError, "iterations", store.unlock, "one", None, 11)
    assert store.unlock("one", None, 12) == 1
    # It is no reason to leave others locked.
    for order in ((slow, locked("quick", "one")), (locked("quick", "one"), slow)):
        store = store_of(*order)
        assert store.unlock("one", None, 11) == 1
        assert store.private_identity("quick") == ([EC], SEC1)
        raises(FormatError, "iterations", store.unlock, "two", None, 11)


def test_a_key_that_is_not_the_certificate_s():
    # No add_identity makes one; a store from elsewhere may hold it.
    store = store_of(locked("device", PASSWORD, [RSA]), Stored("other", [EC], PLAIN_KEY))
    raises(BadPassword, "password", store.unlock, PASSWORD)
    raises(StoreError, "identity-locked", store.private_identity, "device")


# ---- damage ----


def touched(store):
    """Everything that reads identities; what it raises."""
    seen = []
    for call in (
        store.verify,
        lambda: [repr(store.identity(number)) for number in range(store.identity_count)],
        lambda: store.find_identity("none"),
        lambda: store.find_identity("CN=none"),
        lambda: store.unlock(PASSWORD),
        lambda: store.private_identity("device"),
    ):
        try:
            call()
            seen.append(None)
        except SecureSocketError as error:
            shows_no_secret(error)
            seen.append(error)
    store.lock()
    return seen


def test_every_byte_of_a_record():
    for identity in (locked("device", PASSWORD), DEVICE):
        blob = anchors.build([], BUILT, [identity])
        for at in range(layout.HEADER_LENGTH, len(blob)):
            damaged = bytearray(blob)
            damaged[at] ^= 1 << at % 8
            seen = touched(CertStore(damaged))
            # Never "wrong password": the record is damaged, and says so.
            assert all(isinstance(error, CorruptStore) for error in seen), (at, seen)


def stored_raw(*records):
    parts = []
    header = Writer(Entries([]), Entries([]), BUILT, records).write(parts.append)
    return CertStore(header + b"".join(parts))


def test_records_cut_short_or_longer():
    whole = locked("device", PASSWORD).record()
    assert stored_raw(whole).identity(0).label == "device"
    for made in [whole[:stop] for stop in range(len(whole))] + [whole + b"\0", whole + whole]:
        seen = touched(stored_raw(made))
        assert all(isinstance(error, CorruptStore) for error in seen), (len(made), seen)
    raises(CorruptStore, "store-index", stored_raw(whole + whole).identity, 0)


def sealed(record):
    return bytes(record) + binascii.crc32(record).to_bytes(4, "little")


def test_records_that_no_builder_makes():
    # Their checksum holds: of a store from elsewhere. A typed error, or an identity; no other end.
    ends = set()
    for identity in (locked("device", PASSWORD), DEVICE, Stored("device", CHAIN, RSA_KEY)):
        whole = identity.record()[:-4]
        for at in sorted(set(range(64)) | set(range(0, len(whole), 23))):
            for value in (0, 0x7F, 0x80, 0xFF, whole[at] ^ 1):
                changed = bytearray(whole)
                changed[at] = value
                for error in touched(stored_raw(sealed(changed))):
                    ends.add(None if error is None else error.code)
        for stop in range(8, len(whole), 7):
            shorter = bytearray(whole[:stop])
            shorter[5:8] = (stop + 4).to_bytes(3, "little")
            for error in touched(stored_raw(sealed(shorter))):
                ends.add(None if error is None else error.code)
    for key in (b"\x30\xff" + bytes(6), b"\x30\x86" + bytes(6), b"\x30\x03\x30\1\0\4\1\0"):
        for error in touched(stored_raw(Stored("device", [EC], key).record())):
            ends.add(None if error is None else error.code)
    for chain in ([b"\x30\0"], [b""], [EC, b"no certificate"]):
        for error in touched(stored_raw(Stored("device", chain, PLAIN_KEY).record())):
            ends.add(None if error is None else error.code)
    assert "store-record" in ends and "store-version" in ends and None in ends, ends


def test_kinds_of_records_that_are_not_known():
    whole = bytearray(DEVICE.record()[:-4])
    whole[0] ^= 1
    store = stored_raw(sealed(whole))
    raises(StoreError, "store-version", store.identity, 0)
    raises(StoreError, "store-version", store.verify)


# ---- a context that presents one ----


def context(**options):
    return SecureContext(**options)


def test_a_context_finds_its_identity_in_the_stores_it_trusts():
    first = store_of(locked("gateway", "one", CHAIN))
    second = store_of(Stored("plain", [RSA], RSA_KEY))
    for query in ("gateway", "CN=device-17", Certificate(LEAF).ski, Certificate(LEAF).ski.hex()):
        raises(StoreError, "identity-locked", lambda: context(identity=query, trust=first))  # noqa: B023
    first.unlock("one")
    for query in ("gateway", "CN=device-17", Certificate(LEAF).ski, Certificate(LEAF).ski.hex()):
        made = context(identity=query, trust=[second, first])
        assert made.identity == (CHAIN, SEC1)
        shows_no_secret(made)
    made = context(identity="CN=RSA Root", trust=[first, second])
    assert made.identity == ([RSA], vector("keys/rsa_pkcs1.der"))
    error = raises(NotFound, "not-found", lambda: context(identity="CN=device-18", trust=[first, second]))
    shows_no_secret(error)


def test_a_context_finds_its_identity_in_the_store_of_the_device():
    device = store_of(locked("device", "one", CHAIN))
    with Patched(stores, "_store", device):
        for options in ({}, {"trust": RSA}, {"verify": False}, {"trust": None, "pins": "00" * 32}):
            device.lock()
            raises(
                StoreError,
                "identity-locked",
                lambda: context(identity="CN=device-17", **options),  # noqa: B023
            )
            device.unlock("one")
            assert context(identity="CN=device-17", **options).identity == (CHAIN, SEC1)
        raises(NotFound, "not-found", lambda: context(identity="CN=device-17", trust=store_of()))


def test_a_context_of_an_identity_of_several():
    device = store_of(DEVICE, Stored("second", [EC], PLAIN_KEY))
    raises(StoreError, "identity-many", lambda: context(identity="CN=EC Root", trust=device))
    assert context(identity="second", trust=device).identity == ([EC], SEC1)
