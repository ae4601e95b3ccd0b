"""Makes tests/vectors/stores: a store of format version 1 with everything that it can hold, what it was built
from besides tests/vectors/certificates, and what a reader must find in it.

    python tests/vectors/make_store.py [FOLDER]

A store in the field is read for ever: if this makes other bytes one day, the format has changed, and has
another version.
"""

import hashlib
import json
import pathlib
import sys

VECTORS = pathlib.Path(__file__).resolve().parent
ROOT = VECTORS.parent.parent
sys.path[:0] = [str(ROOT / "lib" / "certstore"), str(VECTORS.parent / "unit")]

from certstore import anchors, packed, words  # noqa: E402
from certstore.asn1 import encode  # noqa: E402
from certstore.identities import Stored  # noqa: E402
from certstore.store import CertStore  # noqa: E402
from stores import attribute, ca, path_length  # noqa: E402
from support import UTC, extension  # noqa: E402

BUILD_TIME = 1700000000
CERTIFICATES = (
    "rsa_root",
    "ec_root",
    "ec384_path0",
    "ed25519",
    "no_ski",
    "ski8",
    "ski32",
    "twin_a",
    "twin_b",
    "same_name",
    "odd_name",
    "long_name",
    "forever",
    "leaf",
    "version1",
)
REMOVED = ((b"R" * 20, b"HASH"), (bytes(range(1, 9)), b"hash"))


def key(form):
    before, size, after = packed.FORMS[form - 1]
    return before + b"\x80" + bytes(i & 255 for i in range(size - 1)) + after


def all_words():
    """A Name with a value for every frame, and with every word of the dictionary in a value."""
    rdns = []
    for at in range(0, len(words.FRAMES), packed.FRAME_SIZE):
        frame = words.FRAMES[at : at + packed.FRAME_SIZE]
        rdns.append(attribute(frame[8], frame[9], b"~"))
    value = b""
    for index, size in enumerate(words.LENGTHS):
        start = words.STARTS[2 * index] << 8 | words.STARTS[2 * index + 1]
        value += words.TEXT[start : start + size] + b"~"
        if len(value) > 80:
            rdns.append(attribute(10, 0x13, value))
            value = b""
    return encode(0x30, *rdns, attribute(10, 0x13, value))


def own():
    """Name of the file -> DER, of what no certificate among the vectors shows."""
    early = encode(0x18, b"19491231235959Z") + encode(0x18, b"20500101000000Z")
    return {
        "rsa3072": ca(b"RSA 3072", key=key(2), ski=b"2" * 20, basic=path_length(127)),
        "rsa4096": ca(b"RSA 4096", key=key(3), ski=b"3" * 20, usage=None),
        "p521": ca(b"P-521", key=key(6), ski=b"6" * 20, usage=b"\3\2\0\xff", times=early),
        "words": ca(all_words(), ski=b"7" * 64),
        "limited": ca(b"limited", ski=b"8" * 20, times=UTC + UTC, more=(extension(30, b"\x30\0"),)),
    }


def built(extra):
    ders = [(VECTORS / "certificates" / (stem + ".der")).read_bytes() for stem in CERTIFICATES]
    key_der = (VECTORS / "keys" / "ec_pkcs8.der").read_bytes()
    identity = Stored("device", [ders[CERTIFICATES.index("ec_root")]], key_der)
    return anchors.build(ders + list(extra.values()), BUILD_TIME, [identity], REMOVED)


def facts(blob):
    store = CertStore(blob)
    entries = []
    for number in range(len(store)):
        entry = {"ski": store.ski(number).hex()}
        if not store.is_removed(number):
            entry["kind"] = store.kind(number)
            entry["packed"] = store.is_packed(number)
            entry["sha256"] = hashlib.sha256(store.certificate(number)).hexdigest()
        entries.append(entry)
    return {
        "build_time": BUILD_TIME,
        "certificates": CERTIFICATES,
        "own": list(own()),
        "removed": [[part.hex() for part in pair] for pair in REMOVED],
        "identity": {"label": "device", "certificate": "ec_root", "key": "ec_pkcs8"},
        "entries": entries,
    }


def main(folder):
    folder = pathlib.Path(folder) / "stores"
    folder.mkdir(parents=True, exist_ok=True)
    extra = own()
    for stem, der in extra.items():
        (folder / (stem + ".der")).write_bytes(der)
    blob = built(extra)
    (folder / "v1.bin").write_bytes(blob)
    (folder / "v1.json").write_text(json.dumps(facts(blob), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else VECTORS)
