"""certstore.update: what is added, removed and merged, and that the result is the store built at once."""

from certstore import anchors, blob, layout, pem, update
from certstore.certificate import Certificate
from certstore.errors import CorruptStore, FormatError, NotFound, StoreError
from certstore.store import CertStore
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
    Patched,
    blob_of,
    get,
    names,
    put,
    shown,
    shown_of,
    ski_of,
)
from support import certificate_der, extension, made, raises

# Of every kind: packed and whole, of short, usual and long SKIs, two with one SKI, one that is no CA.
EVERY = [RSA, EC, PATH0, TWIN_A, TWIN_B, LEAF, certificate_der("ski8"), certificate_der("ski32")]
OLD = anchors.build([RSA, EC], BUILT, [DEVICE])


def built(*ders):
    return anchors.build(ders, BUILT, [DEVICE])


def whole(store):
    """The bytes of the store, after all that is checked of it."""
    store.verify()
    found = blob_of(store)
    assert get(store.path) == found
    assert store.build_time == BUILT
    identity = store.identity(0)
    assert (identity.label, identity.chain, identity.key) == ("device", [EC], PLAIN_KEY)
    return found


def test_add():
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        assert store.add(PATH0) == 1
        assert whole(store) == built(RSA, EC, PATH0)
        assert store.add(PATH0) == store.add(RSA) == 0
        assert whole(store) == built(RSA, EC, PATH0)
        for form in (bytearray(TWIN_A), memoryview(TWIN_A), pem.encode(TWIN_A), pem.encode(TWIN_A).encode()):
            assert store.add(form) == (form == TWIN_A and isinstance(form, bytearray))
        assert whole(store) == built(RSA, EC, PATH0, TWIN_A)
        store.close()
        assert names(folder) == ["s"]


def test_add_several_in_pem():
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        assert store.add("".join([pem.encode(der) for der in (PATH0, RSA, LEAF, PATH0)])) == 2
        assert whole(store) == built(RSA, EC, PATH0, LEAF)
        store.close()


def test_what_is_no_certificate_is_not_added():
    rows = (
        (b"", "der-truncated"),
        (RSA[:-1], "der-truncated"),
        (RSA + b"\0", "der-trailing"),
        (PLAIN_KEY, None),
        (pem.encode(PLAIN_KEY, "PRIVATE KEY"), "pem-none"),
        (pem.encode(PATH0) + pem.encode(LEAF[:-1]), "der-truncated"),
        (made(extensions=(extension(19, b"\x30\x03\x01\x01\xfe"),)), None),
    )
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        for data, code in rows:
            try:
                store.add(data)
            except FormatError as error:
                assert code in (None, error.code), repr(error)
                continue
            raise AssertionError(code)
        assert whole(store) == OLD and names(folder) == ["s"]
        store.close()


def test_remove():
    with Folder() as folder:
        put(folder + "s", built(RSA, EC, PATH0))
        store = CertStore(folder + "s")
        for form in (bytes, bytearray, memoryview):
            assert store.add(PATH0) == (form is not bytes)
            assert store.remove(form(ski_of(PATH0))) == 1
            assert whole(store) == OLD
        error = raises(NotFound, "not-found", store.remove, ski_of(PATH0))
        assert ski_of(PATH0).hex() in error.found
        for ski in (b"", ski_of(RSA)[:-1], ski_of(RSA) + b"\0", bytes(20), bytes(65)):
            raises(NotFound, "not-found", store.remove, ski)
        assert whole(store) == OLD
        store.close()


def test_remove_of_several_with_one_ski():
    assert ski_of(TWIN_A) == ski_of(TWIN_B)
    with Folder() as folder:
        put(folder + "s", built(RSA, EC, TWIN_A, TWIN_B))
        store = CertStore(folder + "s")
        assert store.remove(ski_of(TWIN_A)) == 2
        assert whole(store) == OLD
        assert store.add(TWIN_B) == 1 and store.add(TWIN_A) == 1
        assert whole(store) == built(RSA, EC, TWIN_A, TWIN_B)
        store.close()


def test_remove_down_to_nothing_and_add_again():
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        assert store.remove(ski_of(RSA)) == store.remove(ski_of(EC)) == 1
        assert len(store) == 0 and whole(store) == built()
        assert store.add(EC) == store.add(RSA) == 1
        assert whole(store) == OLD
        store.close()


def test_step_by_step_is_as_at_once():
    with Folder() as folder:
        for turn in range(len(EVERY)):
            order = EVERY[turn:] + EVERY[:turn]
            if turn % 2:
                order.reverse()
            put(folder + "s", built())
            store = CertStore(folder + "s")
            for count, der in enumerate(order):
                assert store.add(der) == 1
                assert whole(store) == built(*order[: count + 1])
                assert store.digest == CertStore(built(*order[: count + 1])).digest
            while order:
                ski = ski_of(order[-1])
                left = [der for der in order if ski_of(der) != ski]
                assert store.remove(ski) == len(order) - len(left)
                order = left
                assert whole(store) == built(*order)
            store.close()


def test_merge():
    with Folder() as folder:
        other = anchors.build([EC] + EVERY, BUILT + 99, [DEVICE], [(b"\1" * 20, bytes(4))])
        put(folder + "other", other)
        for source in (CertStore(other), CertStore(folder + "other")):
            put(folder + "s", OLD)
            store = CertStore(folder + "s")
            assert store.merge(source) == len(EVERY) - 2
            # What hides others, identities and the build time stay where they are.
            assert whole(store) == built(*EVERY)
            assert store.merge(source) == 0
            assert store.merge(store) == 0
            assert store.merge(CertStore(anchors.build([], 0))) == 0
            assert whole(store) == built(*EVERY)
            source.close()
            store.close()
        assert get(folder + "other") == other and names(folder) == ["other", "s"]


def test_merge_of_a_damaged_store():
    good = anchors.build([RSA, PATH0, LEAF], BUILT)
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        for at in range(layout.HEADER_LENGTH, len(good)):
            # The lowest bit makes one number of another in the subject index.
            for bit in (1, 4):
                damaged = bytearray(good)
                damaged[at] ^= bit
                try:
                    store.merge(CertStore(damaged))
                except CorruptStore:
                    continue
                raise AssertionError("byte %d" % at)
        assert whole(store) == OLD and names(folder) == ["s"]
        store.close()


def test_build_time_stays():
    with Folder() as folder:
        for built_at in (0, 2**33 + 1):
            put(folder + "s", anchors.build([RSA], built_at))
            store = CertStore(folder + "s")
            store.add(EC)
            store.merge(CertStore(anchors.build([PATH0], BUILT)))
            store.remove(ski_of(RSA))
            store.add_identity("device", EC, PLAIN_KEY, plain=True)
            assert store.build_time == built_at
            assert get(folder + "s") == anchors.build([EC, PATH0], built_at, [DEVICE])
            store.close()


def test_what_hides_others_stays():
    hidden = [(b"\1" * 20, b"abcd"), (ski_of(RSA), b"efgh")]
    with Folder() as folder:
        put(folder + "s", anchors.build([EC], BUILT, (), hidden))
        store = CertStore(folder + "s")
        raises(NotFound, "not-found", store.remove, ski_of(RSA))
        assert store.add(RSA) == 1 and store.remove(ski_of(RSA)) == 1 and store.remove(ski_of(EC)) == 1
        store.verify()
        assert get(folder + "s") == anchors.build([], BUILT, (), hidden)
        assert shown(store) == set()
        store.close()


def test_a_store_in_memory_is_read_only():
    store = CertStore(OLD)
    rows = (
        (store.add, PATH0),
        (store.remove, ski_of(RSA)),
        (store.merge, CertStore(built(PATH0))),
        (store.replace, built(PATH0)),
        (store.remove_identity, "device"),
    )
    for change, value in rows:
        error = raises(StoreError, "store-read-only", change, value)
        assert "LayeredStore" in error.remedy
    raises(StoreError, "store-read-only", lambda: store.add_identity("a", EC, PLAIN_KEY, plain=True))
    store.verify()
    assert blob_of(store) == OLD


def test_two_programs_change_one_file():
    with Folder() as folder:
        put(folder + "s", OLD)
        one, two = CertStore(folder + "s"), CertStore(folder + "s")
        assert two.add(PATH0) == 1
        # What `one` read when it was opened is no longer there.
        assert one.add(TWIN_A) == 1
        assert whole(one) == built(RSA, EC, PATH0, TWIN_A)
        assert two.remove(ski_of(RSA)) == 1
        assert one.add(PATH0) == 0 and whole(one) == built(EC, PATH0, TWIN_A)
        one.close()
        two.close()


def test_a_change_is_seen_by_the_store_that_made_it():
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        store.verify()
        store.add(TWIN_A)
        assert not store.verified
        assert shown(store) == shown_of(RSA, EC, TWIN_A)
        assert store.find(ski_of(TWIN_A)) >= 0 and Certificate(TWIN_A).ski == ski_of(TWIN_A)
        store.remove(ski_of(TWIN_A))
        assert store.find(ski_of(TWIN_A)) == -1
        assert shown(store) == shown_of(RSA, EC)
        store.close()


def test_a_store_that_is_too_large():
    with Folder() as folder:
        put(folder + "s", OLD)
        store = CertStore(folder + "s")
        with Patched(layout, "MAX_TOTAL", len(built(RSA, EC, PATH0)) - 1):
            raises(StoreError, "store-size", store.add, PATH0)
        with Patched(layout, "MAX_COUNT", 2):
            raises(StoreError, "store-full", store.add, PATH0)
        assert whole(store) == OLD and names(folder) == ["s"]
        with Patched(layout, "MAX_TOTAL", len(built(RSA, EC, PATH0))), Patched(layout, "MAX_COUNT", 3):
            assert store.add(PATH0) == 1
        store.close()


def test_a_new_store():
    with Folder() as folder:
        store = update.create(folder + "s", BUILT)
        assert get(folder + "s") == anchors.build([], BUILT) and names(folder) == ["s"]
        assert store.add(EC) == 1
        store.close()
        raises(StoreError, "store-exists", update.create, folder + "s")
        assert get(folder + "s") == anchors.build([EC], BUILT)
        # One that waits to be copied to its place exists too.
        put(folder + "t.new", OLD + layout.JOURNAL_MARK)
        raises(StoreError, "store-exists", update.create, folder + "t")
        put(folder + "u.new", OLD)
        update.create(folder + "u").close()
        assert get(folder + "u") == anchors.build([], 0)


def test_a_folder_that_is_not_there():
    error = raises(StoreError, "store-write", update.create, "/tmp/no-such-folder/s")
    assert "errno 2" in error.found


def test_a_closed_store_is_a_typed_error():
    with Folder() as folder:
        put(folder + "roots", anchors.build([RSA, EC], BUILT))
        store = CertStore(folder + "roots")
        ski = ski_of(RSA)
        number = store.find(ski)
        store.close()
        for call, args in (
            (store.find, (ski,)),
            (store.find_subject, (bytes(4),)),
            (store.certificate, (number,)),
            (store.ski, (number,)),
            (store.verify, ()),
        ):
            raises(StoreError, "store-file", call, *args)
        store.close()
        # Until it is opened again.
        store.open(folder + "roots")
        assert store.find(ski) == number


def test_a_file_that_cannot_be_asked_for_is_no_missing_file():
    def stat(path):
        raise OSError(5)

    class Os:
        pass

    Os.stat = staticmethod(stat)
    with Patched(blob, "os", Os):
        raises(StoreError, "store-file", blob.is_file, "roots.bin")
        raises(StoreError, "store-file", blob.is_store, "roots.bin")
    assert not blob.is_file("no-such-folder/roots.bin")
