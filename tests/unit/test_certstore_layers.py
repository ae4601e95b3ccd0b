"""certstore.layers: changes above a store that is only read, and above every later one of it."""

from certstore import anchors, layout, pem, replace
from certstore.certificate import Certificate
from certstore.errors import BadPassword, CorruptStore, FormatError, NotFound, StoreError
from certstore.identities import Stored
from certstore.layers import LayeredStore
from certstore.store import ANCHOR, EXACT, CertStore
from certstore.subjects import subject_hash
from folder import (
    BUILT,
    DEVICE,
    EC,
    LEAF,
    PATH0,
    PLAIN_KEY,
    RSA,
    TWIN_A,
    TWIN_B,
    Folder,
    get,
    names,
    put,
    shown,
    shown_of,
    ski_of,
)
from securesocket.trust import TrustSet
from support import ON_MICROPYTHON, Skip, certificate_der, raises, vector

BASE = anchors.build([RSA, EC, TWIN_A, TWIN_B], BUILT)
NEWER = anchors.build([RSA, EC, PATH0, TWIN_A], BUILT + 10)
RSA_KEY = vector("keys/rsa_pkcs8.der")
LOCKED = vector("keys/encrypted_aes256.der")


class Layers:
    """A LayeredStore over these bytes, opened again with `again`."""

    def __init__(self, base=BASE, in_file=False, **options):
        self._folder = Folder()
        self._base = base
        self._in_file = in_file
        self._options = options
        self.store = None

    def __enter__(self):
        self.folder = self._folder.__enter__()
        if self._in_file:
            put(self.folder + "base", self._base)
        self.again()
        return self

    def again(self, base=None):
        if self.store is not None:
            self.store.close()
        self._base = base or self._base
        source = CertStore(self.folder + "base" if self._in_file else self._base)
        self.store = LayeredStore(source, self.folder + "changes", **self._options)
        return self.store

    def shows(self, *ders):
        """Whether exactly these are there, now and for who opens it again, by every way to look."""
        for again in (False, True):
            store = self.again() if again else self.store
            store.verify()
            assert store.verified
            assert shown(store) == shown_of(*ders), "numbers"
            assert by_ski(store) == shown_of(*ders), "find"
            assert by_subject(store) == shown_of(*ders), "find_subject"
            for number in range(len(store)):
                assert store.is_removed(number) == (number not in list(store.numbers()))

    def __exit__(self, *_):
        self.store.close()
        self._folder.__exit__()


EVERY = (RSA, EC, PATH0, LEAF, TWIN_A, TWIN_B)


def walk(find, key):
    number = find(key)
    while number >= 0:
        yield number
        number = find(key, number)


def by_ski(store):
    found = [
        (store.ski(n), bytes(store.certificate(n))) for der in EVERY for n in walk(store.find, ski_of(der))
    ]
    return set(found)


def by_subject(store):
    hashes = {subject_hash(Certificate(der).subject) for der in EVERY}
    found = [number for hash4 in hashes for number in walk(store.find_subject, hash4)]
    assert len(found) == len(set(found))
    return {(store.ski(number), bytes(store.certificate(number))) for number in found}


def test_no_changes():
    with Layers() as layers:
        store = layers.store
        layers.shows(RSA, EC, TWIN_A, TWIN_B)
        assert len(store) == 4 and store.build_time == BUILT and store.identity_count == 0
        assert store.largest == CertStore(BASE).largest
        assert names(layers.folder) == []


def test_add_and_remove():
    with Layers() as layers:
        assert layers.store.add(PATH0) == 1
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0)
        assert layers.store.add(PATH0) == layers.store.add(EC) == 0
        assert layers.store.remove(ski_of(PATH0)) == 1
        layers.shows(RSA, EC, TWIN_A, TWIN_B)
        assert layers.store.remove(ski_of(EC)) == 1
        layers.shows(RSA, TWIN_A, TWIN_B)
        assert layers.store.remove(ski_of(TWIN_A)) == 2
        layers.shows(RSA)
        for ski in (ski_of(EC), ski_of(TWIN_A), ski_of(PATH0), b"", bytes(20)):
            raises(NotFound, "not-found", layers.store.remove, ski)
        layers.shows(RSA)
        assert names(layers.folder) == ["changes"]
        assert get(layers.folder + "changes") == anchors.build([], 0, (), hidden(EC, TWIN_A))


def hidden(*ders):
    """What hides these: with the subject of the first that the base has of them."""
    base = CertStore(BASE)
    return [(ski_of(der), base.entry(base.find(ski_of(der)))[:4]) for der in ders]


def test_nothing_is_written_for_nothing():
    with Layers() as layers:
        assert layers.store.add(EC) == 0
        assert layers.store.merge(CertStore(BASE)) == 0
        raises(NotFound, "not-found", layers.store.remove, ski_of(PATH0))
        raises(NotFound, "not-found", layers.store.remove_identity, "device")
        raises(FormatError, "der-truncated", layers.store.add, b"")
        assert names(layers.folder) == []


def test_what_was_removed_is_added_again():
    with Layers() as layers:
        layers.store.remove(ski_of(EC))
        assert layers.store.add(EC) == 1
        layers.shows(RSA, EC, TWIN_A, TWIN_B)
        assert layers.store.add(EC) == 0
        assert layers.store.remove(ski_of(EC)) == 1
        layers.shows(RSA, TWIN_A, TWIN_B)
        # Of two with one SKI that were removed, one.
        assert layers.store.remove(ski_of(TWIN_A)) == 2
        assert layers.store.add(TWIN_B) == 1
        layers.shows(RSA, TWIN_B)
        assert layers.store.remove(ski_of(TWIN_B)) == 1
        layers.shows(RSA)


def test_one_ski_in_both_layers():
    with Layers(anchors.build([RSA, TWIN_A], BUILT)) as layers:
        assert layers.store.add(TWIN_B) == 1
        layers.shows(RSA, TWIN_A, TWIN_B)
        assert layers.store.remove(ski_of(TWIN_A)) == 2
        layers.shows(RSA)


def test_removed_in_every_later_base():
    with Layers() as layers:
        layers.store.remove(ski_of(EC))
        layers.again(NEWER)
        layers.shows(RSA, PATH0, TWIN_A)
        # One that left the base, and came again.
        layers.again(anchors.build([RSA], BUILT + 20))
        layers.shows(RSA)
        layers.again(NEWER)
        layers.shows(RSA, PATH0, TWIN_A)
        assert layers.store.add(EC) == 1
        layers.shows(RSA, EC, PATH0, TWIN_A)


def test_another_certificate_with_the_removed_key_is_hidden_too():
    with Layers(anchors.build([TWIN_A], BUILT)) as layers:
        assert layers.store.remove(ski_of(TWIN_A)) == 1
        layers.again(anchors.build([TWIN_B, TWIN_A], BUILT + 1))
        layers.shows()


def test_added_and_in_a_later_base():
    with Layers(anchors.build([RSA], BUILT)) as layers:
        layers.store.add(PATH0)
        layers.again(NEWER)
        assert shown(layers.store) == shown_of(RSA, EC, PATH0, TWIN_A)
        assert layers.store.remove(ski_of(PATH0)) == 2
        layers.shows(RSA, EC, TWIN_A)


def test_replace_keeps_the_changes():
    tagged = NEWER + replace.tag(NEWER, b"key")
    with Layers(in_file=True, tag_key=bytearray(b"key")) as layers:
        layers.store.remove(ski_of(EC))
        layers.store.add(LEAF)
        changes = get(layers.folder + "changes")
        raises(StoreError, "store-tag", layers.store.replace, NEWER)
        layers.shows(RSA, TWIN_A, TWIN_B, LEAF)
        layers.store.replace(tagged)
        assert get(layers.folder + "base") == NEWER and get(layers.folder + "changes") == changes
        raises(StoreError, "store-tag", layers.store.base.replace, NEWER)
        layers.shows(RSA, PATH0, TWIN_A, LEAF)
        assert layers.store.build_time == BUILT + 10
        raises(StoreError, "store-tag", layers.store.replace, NEWER)
        old = BASE + replace.tag(BASE, b"key")
        raises(StoreError, "store-older", layers.store.replace, old)
        layers.store.replace(old, older=True)
        layers.shows(RSA, TWIN_A, TWIN_B, LEAF)
        assert names(layers.folder) == ["base", "changes"]


def test_replace_demands_the_key_of_the_base():
    with Folder() as folder:
        put(folder + "base", BASE)
        store = LayeredStore(CertStore(folder + "base", b"key"), folder + "changes")
        raises(StoreError, "store-tag", store.replace, NEWER)
        store.replace(NEWER + replace.tag(NEWER, b"key"))
        raises(StoreError, "store-tag", store.replace, NEWER)
        store.close()


def test_replace_of_a_base_in_memory():
    with Layers() as layers:
        raises(StoreError, "store-read-only", layers.store.replace, NEWER)
        assert names(layers.folder) == []
    with Folder() as folder:
        store = LayeredStore(CertStore(BASE), folder + "changes", folder + "base")
        store.remove(ski_of(RSA))
        raises(StoreError, "store-older", store.replace, anchors.build([RSA], BUILT - 1))
        assert names(folder) == ["changes"]
        store.replace(NEWER)
        assert shown(store) == shown_of(EC, PATH0, TWIN_A)
        assert names(folder) == ["base", "changes"] and get(folder + "base") == NEWER
        store.close()


def test_replace_of_a_base_that_is_elsewhere():
    # As one in ROMFS is, which is a file and cannot be written.
    with Folder() as folder:
        put(folder + "rom", BASE)
        store = LayeredStore(CertStore(folder + "rom"), folder + "changes", folder + "base")
        store.replace(NEWER)
        assert get(folder + "rom") == BASE and get(folder + "base") == NEWER
        assert shown(store) == shown_of(RSA, EC, PATH0, TWIN_A)
        store.close()


def test_two_programs_make_changes():
    with Layers() as layers:
        other = LayeredStore(CertStore(BASE), layers.folder + "changes")
        layers.store.remove(ski_of(EC))
        # It was opened before there were any.
        assert other.add(PATH0) == 1
        assert shown(other) == shown_of(RSA, TWIN_A, TWIN_B, PATH0)
        other.close()
        layers.again()
        layers.shows(RSA, TWIN_A, TWIN_B, PATH0)


def test_merge():
    with Layers() as layers:
        other = anchors.build([RSA, PATH0, LEAF], BUILT, [DEVICE], hidden(TWIN_A))
        assert layers.store.merge(CertStore(other)) == 2
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0, LEAF)
        assert layers.store.merge(CertStore(other)) == 0 and layers.store.identity_count == 0
        layers.store.remove(ski_of(RSA))
        # What was removed comes again if it is asked for.
        assert layers.store.merge(CertStore(other)) == 1
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0, LEAF)
        damaged = bytearray(anchors.build([certificate_der("ski8")], BUILT))
        damaged[-9] ^= 1
        raises(CorruptStore, "store-check", layers.store.merge, CertStore(damaged))
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0, LEAF)


def test_layers_are_merged_into_one_store():
    with Layers() as layers:
        layers.store.remove(ski_of(EC))
        layers.store.add(PATH0)
        put(layers.folder + "one", anchors.build([LEAF, RSA], BUILT))
        one = CertStore(layers.folder + "one")
        assert one.merge(layers.store) == 3
        assert get(layers.folder + "one") == anchors.build([LEAF, RSA, PATH0, TWIN_A, TWIN_B], BUILT)
        one.close()


def test_the_order_of_changes_does_not_matter():
    def change(store, steps):
        for step, der in steps:
            if step == "add":
                store.add(der)
            else:
                store.remove(ski_of(der))

    steps = [("add", PATH0), ("remove", EC), ("remove", TWIN_A), ("add", LEAF), ("add", TWIN_B)]
    results = set()
    for order in (steps, steps[:2] + steps[3:1:-1] + steps[4:], [steps[i] for i in (3, 2, 4, 1, 0)]):
        with Layers() as layers:
            change(layers.store, order)
            layers.shows(RSA, PATH0, LEAF, TWIN_B)
            results.add(get(layers.folder + "changes"))
    assert results == {anchors.build([PATH0, LEAF, TWIN_B], 0, (), hidden(EC, TWIN_A))}


def test_add_of_several_in_pem():
    with Layers() as layers:
        assert layers.store.add("".join([pem.encode(der) for der in (EC, PATH0, LEAF, PATH0)])) == 2
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0, LEAF)


def test_numbers():
    with Layers() as layers:
        store = layers.store
        store.add(LEAF)
        store.remove(ski_of(EC))
        numbers = list(store.numbers())
        assert len(store) == 6 and len(numbers) == 4
        kinds = {bytes(store.certificate(number)): store.kind(number) for number in numbers}
        assert kinds.pop(LEAF) == EXACT and set(kinds.values()) == {ANCHOR}
        for number in numbers:
            into = bytearray(store.largest)
            assert store.certificate(number, into) == store.certificate(number)
            assert store.is_packed(number) == (bytes(store.certificate(number)) != LEAF)
        for number in (-1, -2, -7, len(store), 65536):
            for method in (store.ski, store.kind, store.certificate, store.is_packed, store.is_removed):
                raises(NotFound, "not-found", method, number)
        # What hides is no certificate.
        hides = [number for number in range(2) if store.is_removed(number)]
        raises(NotFound, "not-found", store.certificate, hides[0])


def test_numbers_without_changes():
    with Layers() as layers:
        for number in (-1, 4):
            raises(NotFound, "not-found", layers.store.ski, number)
            raises(NotFound, "not-found", layers.store.identity, number)


def test_many_with_one_subject():
    # In both layers, some hidden, in the order of their numbers.
    ders = [certificate_der(stem) for stem in ("cross_self", "cross_signed", "same_name")]
    subject = Certificate(ders[0]).subject
    hash4 = subject_hash(subject)
    same = [der for der in ders if subject_hash(Certificate(der).subject) == hash4]
    assert len(same) >= 2
    for below in range(len(same) + 1):
        with Layers(anchors.build([RSA] + same[:below], BUILT)) as layers:
            for der in same[below:]:
                layers.store.add(der)
            found = {bytes(layers.store.certificate(n)) for n in walk(layers.store.find_subject, hash4)}
            assert found == {bytes(CertStore(anchors.build([der], 0)).certificate(0)) for der in same}
            layers.store.remove(ski_of(same[0]))
            found = {layers.store.ski(n) for n in walk(layers.store.find_subject, hash4)}
            assert found == {ski_of(der) for der in same} - {ski_of(same[0])}


def look_up(rows, found):
    """Every look-up of (find, keys), into a list; how many there were. Allocates nothing itself."""
    at = 0
    for find, keys in rows:
        for key in keys:
            number = find(key)
            while number >= 0:
                found[at] = number
                at += 1
                number = find(key, number)
    return at


def test_look_ups_allocate_nothing():
    if not ON_MICROPYTHON:
        raise Skip("MicroPython's heap")
    import micropython

    skis = [ski_of(der) for der in EVERY] + [b"", bytes(20), b"\xff" * 64]
    hashes = [subject_hash(Certificate(der).subject) for der in EVERY] + [bytes(4)]
    for in_file in (False, True):
        with Layers(in_file=in_file) as layers:
            store = layers.store
            store.remove(ski_of(EC))
            store.add(PATH0)
            rows = [(store.find, skis), (store.find_subject, hashes)]
            found = [None] * 64
            expected = look_up(rows, found)
            micropython.heap_lock()
            try:
                count = look_up(rows, found)
            finally:
                micropython.heap_unlock()
            assert count == expected and count >= 8


def test_damage_of_the_changes_is_no_reason_to_leave_them_out():
    with Layers() as layers:
        layers.store.remove(ski_of(EC))
        layers.store.close()
        good = get(layers.folder + "changes")
        for at in range(len(good)):
            damaged = bytearray(good)
            damaged[at] ^= 0x10
            put(layers.folder + "changes", damaged)
            try:
                layers.again()
            except CorruptStore:
                continue
            raise AssertionError("byte %d" % at)
        for stop in (0, 1, 95, 96, len(good) - 1):
            put(layers.folder + "changes", good[:stop])
            try:
                layers.again()
            except CorruptStore:
                continue
            raise AssertionError("%d bytes" % stop)
        put(layers.folder + "changes", good)
        layers.again()
        layers.shows(RSA, TWIN_A, TWIN_B)


def test_both_are_verified():
    damaged = bytearray(BASE)
    damaged[-1] ^= 1
    with Layers(bytes(damaged)) as layers:
        layers.store.add(PATH0)
        raises(CorruptStore, "store-check", layers.store.verify)
        assert not layers.store.verified
        # Before it says that something is not there.
        raises(CorruptStore, "store-check", layers.store.remove, bytes(20))


def test_changes_that_wait_for_their_place():
    with Layers() as layers:
        layers.store.remove(ski_of(EC))
        layers.store.close()
        changes = get(layers.folder + "changes")
        import os

        os.remove(layers.folder + "changes")
        put(layers.folder + "changes.new", changes + layout.JOURNAL_MARK)
        layers.again()
        layers.shows(RSA, TWIN_A, TWIN_B)
        assert names(layers.folder) == ["changes"]


def test_debris_of_a_replacement_is_removed_with_the_next_change():
    with Layers(in_file=True) as layers:
        put(layers.folder + "base.in", NEWER)
        put(layers.folder + "base.new", NEWER)
        layers.again()
        layers.store.add(PATH0)
        assert names(layers.folder) == ["base", "changes"]
        layers.shows(RSA, EC, TWIN_A, TWIN_B, PATH0)


def test_an_anchor_is_offered_from_both_layers():
    with Layers(anchors.build([RSA, EC], BUILT)) as layers:
        layers.store.add(PATH0)
        layers.store.remove(ski_of(EC))

        def offered(der):
            trust_set = TrustSet((layers.store,), ())
            return len(list(trust_set.issuers(Certificate(der).subject)))

        assert [offered(der) for der in (RSA, EC, PATH0, TWIN_A)] == [1, 0, 1, 0]
        assert TrustSet((layers.store,), ()).floor() == BUILT


# ---- identities ----


def test_identities_of_both():
    base = anchors.build([RSA], BUILT, [DEVICE, Stored("rsa", [RSA], RSA_KEY)])
    with Layers(base) as layers:
        store = layers.store
        assert store.identity_count == 2
        assert not store.add_identity("new", EC, PLAIN_KEY, plain=True)
        for _ in range(2):
            labels = [store.identity(number).label for number in range(store.identity_count)]
            assert labels == ["new", "device", "rsa"]
            assert [store.find_identity(label) for label in labels] == [0, 1, 2]
            assert store.private_identity("rsa")[0] == [RSA] and store.private_identity("new")[0] == [EC]
            store = layers.again()
        for number in (-1, 3):
            raises(NotFound, "not-found", store.identity, number)
        raises(NotFound, "not-found", store.find_identity, "none")
        error = raises(NotFound, "not-found", store.private_identity, "none")
        assert error.expected == "'new', 'device', 'rsa'"
        # The base is not changed.
        raises(StoreError, "store-read-only", store.remove_identity, "rsa")
        store.remove_identity("new")
        raises(NotFound, "not-found", store.remove_identity, "new")
        assert store.identity_count == 2


def test_an_identity_of_a_label_that_the_base_has():
    with Layers(anchors.build([], BUILT, [DEVICE])) as layers:
        layers.store.add_identity("device", RSA, RSA_KEY, plain=True)
        for again in (False, True):
            store = layers.again() if again else layers.store
            assert store.private_identity("device")[0] == [RSA]
            assert store.find_identity("device") == 0
        store.remove_identity("device")
        assert store.private_identity("device")[0] == [EC]


def test_unlock_and_lock_both():
    base = anchors.build([], BUILT, [Stored("below", [EC], LOCKED)])
    with Layers(base) as layers:
        layers.store.add_identity("plain", RSA, RSA_KEY, plain=True)
        put(layers.folder + "more", anchors.build([], 0, [Stored("above", [EC], LOCKED)]))
        layers.store.changes.replace(layers.folder + "more")
        store = layers.again()
        for label in ("above", "below"):
            raises(StoreError, "identity-locked", store.private_identity, label)
        raises(BadPassword, "password", store.unlock, b"wrong")
        assert store.unlock(b"password") == 2
        for label in ("above", "below"):
            assert store.private_identity(label) == ([EC], vector("keys/ec_sec1.der"))
        held = [layer.keys for layer in (store.base, store.changes)]
        held = [key for keys in held for key in keys.values()]
        store.lock()
        assert len(held) == 2 and not any([byte for key in held for byte in key])
        assert store.unlock(b"password", "below") == 1
        raises(StoreError, "identity-locked", store.private_identity, "above")
        store.close()
        assert not store.base.keys


def test_changes_keep_identities():
    with Layers() as layers:
        store = layers.store
        store.add_identity("device", EC, PLAIN_KEY, plain=True)
        store.add(PATH0)
        store.remove(ski_of(RSA))
        store.merge(CertStore(anchors.build([LEAF], 0)))
        assert store.private_identity("device")[0] == [EC]
        assert layers.again(NEWER).private_identity("device")[0] == [EC]


def test_an_identity_is_no_anchor():
    with Layers(anchors.build([RSA], BUILT)) as layers:
        layers.store.add_identity("device", EC, PLAIN_KEY, plain=True)
        layers.shows(RSA)
