"""The command `securesocket store add|remove|merge|diff|verify`."""

import json
import os

import pytest

from certstore import pem, pkcs8
from certstore.identities import Stored
from certstore.keys import private_key
from plugins import pki
from plugins.command import answer, facts, run
from plugins.interpreters import ROOT
from securesocket_cli import entries, store_files

CERTIFICATES = ROOT / "tests" / "vectors" / "certificates"
X1_SKI = "79b459e67bb6e5e40173800888c81a58f6e99b6e"
X2_SKI = "7c4296aede4b483bfa92f89e8ccf6d8ba9723795"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


def build(*only, out="roots.bin", time="1000"):
    words = [word for query in only for word in ("--only", query)]
    run("store", "build", *words, "--out", out, "--build-time", time)


def state(path):
    """What a writer would change; reading changes the time of access."""
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


def titles(path="roots.bin"):
    return sorted(entry.title for entry in store_files.read_store(str(path)).entries)


def identity(label, chain):
    kind, key = private_key(chain[0].private())
    return Stored(label, [member.der for member in chain], pkcs8.wrap(kind, key))


@pytest.fixture(scope="module")
def device():
    return identity("device-17", pki.Pki().device)


def put(path, only=(), identities=(), removed=(), time=1000):
    """A store of Mozilla's roots of these names, and the rest."""
    pool = entries.mozilla()[0]
    chosen = [entry for query in only for entry in entries.select(pool, query)]
    store_files.write(path, store_files.make(chosen, time, identities, removed))


# ---- add


def test_add(folder):
    build("ISRG Root X1")
    (folder / "mine").mkdir()
    (folder / "mine" / "ec.pem").write_text(pem.encode((CERTIFICATES / "ec_root.der").read_bytes()))
    (folder / "mine" / "broken.pem").write_text("-----BEGIN CERTIFICATE-----")
    text = run("store", "add", X2_SKI, "gts root r1", "mine", CERTIFICATES / "leaf.der")
    assert f"+ {X2_SKI}  ISRG Root X2\n" in text and "GTS Root R1\n" in text and "  EC Root\n" in text
    assert "skipped mine/broken.pem: PEM block" in text and "leaf\n  note: no CA that may sign" in text
    assert titles() == ["EC Root", "GTS Root R1", "ISRG Root X1", "ISRG Root X2", "leaf"]
    assert text.endswith(f"roots.bin: 5 certificates, {(folder / 'roots.bin').stat().st_size} bytes\n")
    assert store_files.read_store().store.build_time == 1000


def test_add_of_what_is_there_changes_nothing(folder):
    build("ISRG Root X1")
    before = state("roots.bin")
    x1 = entries.select(entries.mozilla()[0], "ISRG Root X1")[0]
    (folder / "x1.pem").write_text(pem.encode(x1.der))
    for what in ("ISRG Root X1", "x1.pem"):
        text = run("store", "add", what)
        assert text == f"  {X1_SKI}  ISRG Root X1: there already\nroots.bin: 1 certificate, unchanged\n"
    assert state("roots.bin") == before
    assert run("store", "add", "ISRG Root X2", "ISRG Root X2").count("+ ") == 1


def test_add_of_other_terms_for_the_same_key(folder):
    old = pki.make("Own Root", ca=True)
    new = pki.make("Own Root", key=old.key, ca=True, not_after=pki.AFTER + pki.DAY)
    (folder / "old.der").write_bytes(old.der)
    (folder / "new.der").write_bytes(new.der)
    run("store", "build", "--no-mozilla", "--add", "old.der")
    until = pki.AFTER.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"note: the same subject and key is there, until {until}" in run("store", "add", "new.der")
    assert titles() == ["Own Root", "Own Root"]


def test_add_of_what_is_nowhere(folder):
    build("ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()
    text = run("store", "add", "ISRG Root X2", "ISRG Rot X2", status=1)
    assert 'no certificate "ISRG Rot X2" in Mozilla\'s roots' in text and "nearest: ISRG Root X2" in text
    assert "nor a file of that name" in run("store", "add", "mine.pem", status=1)
    assert "roots.bin: found a store, expected certificates" in run("store", "add", "roots.bin", status=1)
    (folder / "junk.pem").write_text("junk")
    assert "junk.pem: DER" in run("store", "add", "junk.pem", status=1)
    answer("store", "add", status=2)
    assert (folder / "roots.bin").read_bytes() == before


def test_a_failed_write_leaves_the_store(folder, monkeypatch):
    build("ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "roots.bin: No space left" in run("store", "add", "ISRG Root X2", status=1)
    assert (folder / "roots.bin").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["roots.bin"]


# ---- remove


def test_remove(folder):
    build("ISRG Root X1", "ISRG Root X2", "GTS Root R1", "GTS Root R4", "Amazon Root CA 1")
    r1 = entries.select(entries.mozilla()[0], "GTS Root R1")[0]
    (folder / "r1.pem").write_text(pem.encode(r1.der))
    text = run("store", "remove", X1_SKI, "gts root r4", "r1.pem")
    assert text.splitlines()[0] == f"- {X1_SKI}  ISRG Root X1" and "roots.bin: 2 certificates," in text
    assert titles() == ["Amazon Root CA 1", "ISRG Root X2"]
    assert store_files.read_store().store.build_time == 1000


def test_remove_of_what_is_not_there(folder):
    build("ISRG Root X1", "ISRG Root X2")
    before = (folder / "roots.bin").read_bytes()
    text = run("store", "remove", "ISRG Root X1", "ISRG Root X3", status=1)
    assert 'no certificate "ISRG Root X3" in roots.bin; nearest: ISRG Root X' in text
    # A part of a name chooses nothing, nor does another's file.
    run("store", "remove", "ISRG", status=1)
    run("store", "remove", CERTIFICATES / "ec_root.der", status=1)
    assert (folder / "roots.bin").read_bytes() == before


def test_remove_of_several_needs_all(folder):
    twins = [CERTIFICATES / "twin_a.der", CERTIFICATES / "twin_b.der"]
    run("store", "build", "--add", twins[0], "--add", twins[1], "--only", twins[0], "--only", twins[1])
    run("store", "add", "ISRG Root X1")
    before = (folder / "roots.bin").read_bytes()
    ski = entries.from_file(twins[0])[0].ski.hex()
    text = run("store", "remove", ski, status=1)
    assert f'"{ski}" names 2 certificates; give an SKI or a file, or --all:' in text
    assert text.count(f"\n  {ski}  Twin") == 2
    assert (folder / "roots.bin").read_bytes() == before
    run("store", "remove", twins[0])
    assert titles() == ["ISRG Root X1", "Twin B"]
    (folder / "roots.bin").write_bytes(before)
    run("store", "remove", ski, "--all")
    assert titles() == ["ISRG Root X1"]


def test_remove_by_file_takes_its_equal(folder):
    old = pki.make("Own Root", ca=True)
    for days, name in enumerate(("old", "new", "newest")):
        member = pki.make("Own Root", key=old.key, ca=True, not_after=pki.AFTER + days * pki.DAY)
        (folder / f"{name}.der").write_bytes(member.der)
    run("store", "build", "--no-mozilla", "--add", "old.der", "--add", "new.der")
    text = run("store", "remove", "newest.der", status=1)
    assert '"newest.der" names 2 certificates' in text
    run("store", "remove", "old.der")
    [left] = facts("store", "list")["certificates"]
    assert left["not_after"].startswith((pki.AFTER + pki.DAY).strftime("%Y-%m-%d"))
    # Alone, it is what a file of the same subject and key names.
    build("ISRG Root X1", out="x1.bin")
    run("store", "merge", "x1.bin")
    run("store", "remove", "newest.der")
    assert titles() == ["ISRG Root X1"]


def test_remove_leaves_no_empty_store(folder):
    build("ISRG Root X1")
    text = run("store", "remove", "ISRG Root X1", status=1)
    assert text == "securesocket: roots.bin: nothing would be left in it; delete the file instead\n"
    assert titles() == ["ISRG Root X1"]


# ---- what no edit touches


def test_an_ski_that_only_the_store_knows_survives(folder):
    asked = entries.from_file(CERTIFICATES / "ski32.der")[0]
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "ski32.der")
    assert facts("store", "list")["certificates"][0]["packed"]
    run("store", "add", "ISRG Root X1")
    build("ISRG Root X1", out="other.bin")
    run("store", "merge", "roots.bin", "--store", "other.bin")
    for path in ("roots.bin", "other.bin"):
        skis = [entry.ski.hex() for entry in store_files.read_store(path).entries]
        assert sorted(skis) == sorted([X1_SKI, asked.ski.hex()]), path
    assert run("store", "diff", "roots.bin", "other.bin") == ""


@pytest.mark.parametrize(
    "words", [("add", "ISRG Root X2"), ("remove", "GTS Root R1"), ("merge", "other.bin")], ids=lambda w: w[0]
)
def test_identities_and_hiding_entries_survive(folder, device, words):
    hidden = (b"\7" * 20, b"\1\2\3\4")
    put("roots.bin", ["ISRG Root X1", "GTS Root R1"], [device], [hidden])
    put("other.bin", ["ISRG Root X2"])
    run("store", *words)
    opened = store_files.read_store()
    assert [(one.label, one.chain, one.key) for one in opened.identities] == [
        (device.label, device.chain, device.key)
    ]
    assert opened.removed == [hidden] and opened.store.build_time == 1000
    assert facts("store", "show")["hides"] == 1
    [listed] = facts("store", "list")["identities"]
    assert (listed["label"], listed["subject"], listed["encrypted"]) == ("device-17", "CN=device-17", False)
    assert ", 1 identity" in run("store", "verify")


def test_the_last_certificate_goes_where_an_identity_stays(folder, device):
    put("roots.bin", ["ISRG Root X1"], [device])
    assert "roots.bin: 0 certificates, 1 identity," in run("store", "remove", "ISRG Root X1")


def test_build_does_not_drop_identities(folder, device):
    put("roots.bin", [], [device])
    before = (folder / "roots.bin").read_bytes()
    assert "roots.bin: found 1 identity in it" in run("store", "build", status=1)
    assert (folder / "roots.bin").read_bytes() == before


# ---- merge


def test_merge(folder, device):
    other = identity("device-18", [pki.make("device-18", hosts=())])
    hidden = (b"\7" * 20, b"\1\2\3\4")
    put("roots.bin", ["ISRG Root X1", "GTS Root R1"], [device], time=1000)
    put("a.bin", ["ISRG Root X1", "ISRG Root X2"], [device, other], [hidden], time=2000)
    run("store", "build", "--no-mozilla", "--add", CERTIFICATES / "leaf.der", "--out", "b.bin")
    text = run("store", "merge", "a.bin", "b.bin")
    assert "ISRG Root X1: there already" in text and f"+ {X2_SKI}  ISRG Root X2" in text
    assert "+ identity device-18\n" in text and "identity device-17" not in text
    assert f"+ hides {'07' * 20} of a store below" in text
    assert titles() == ["GTS Root R1", "ISRG Root X1", "ISRG Root X2", "leaf"]
    opened = store_files.read_store()
    assert sorted(one.label for one in opened.identities) == ["device-17", "device-18"]
    assert opened.removed == [hidden] and opened.store.build_time == 1000
    # Once more it changes nothing.
    before = (folder / "roots.bin").read_bytes()
    assert "unchanged" in run("store", "merge", "a.bin", "b.bin")
    assert (folder / "roots.bin").read_bytes() == before


@pytest.mark.parametrize("part", ["chain", "key"])
def test_merge_of_two_identities_of_one_label_is_refused(folder, device, part):
    chain = [pki.make("device-17", hosts=())]
    other = identity("device-17", chain)
    mixed = Stored("device-17", other.chain if part == "chain" else device.chain, device.key)
    if part == "key":
        mixed.key = other.key
    put("roots.bin", ["ISRG Root X1"], [device])
    put("a.bin", ["ISRG Root X2"], [mixed])
    before = (folder / "roots.bin").read_bytes()
    text = run("store", "merge", "a.bin", status=1)
    assert "a.bin: its identity device-17 is another than that of this label here" in text
    assert device.key.hex() not in text and (folder / "roots.bin").read_bytes() == before


# ---- diff


def test_diff_of_stores_that_hold_the_same(folder):
    build("ISRG Root X1", time="1000")
    build("ISRG Root X1", out="b.bin", time="2000")
    assert run("store", "diff", "roots.bin", "b.bin") == ""
    same = facts("store", "diff", "roots.bin", "b.bin")
    assert (same["only_a"], same["only_b"], same["changed"]) == ([], [], [])
    assert same["b"] == {"store": "b.bin", "build_time": "1970-01-01T00:33:20Z"}


def test_diff(folder, device):
    old = pki.make("Own Root", ca=True)
    new = pki.make("Own Root", key=old.key, ca=True, path_length=0, not_after=pki.AFTER + pki.DAY)
    other = identity("device-17", [pki.make("device-17", hosts=())])
    put("a.bin", ["ISRG Root X1", "GTS Root R1"], [device, identity("gone", pki.Pki().device)])
    put("b.bin", ["ISRG Root X2", "GTS Root R1"], [other], [(b"\7" * 20, b"\1\2\3\4")])
    for name, member in (("a", old), ("b", new)):
        (folder / f"{name}.der").write_bytes(member.der)
        run("store", "add", f"{name}.der", "--store", f"{name}.bin")
    out, errors = answer("store", "diff", "a.bin", "b.bin", status=1)
    ski = entries.from_file("a.der")[0].ski.hex()
    day = pki.AFTER.strftime("%Y-%m-%d")
    lines = out.splitlines()
    assert lines[:3] == [f"- {X1_SKI}  ISRG Root X1", f"+ {X2_SKI}  ISRG Root X2", f"~ {ski}  Own Root"]
    assert lines[3].startswith(f"    not after: {day}T") and lines[4] == "    path length: None → 0"
    assert lines[5:] == ["- identity gone", "~ identity device-17", f"+ hides {'07' * 20} of a store below"]
    assert errors == "" and device.key.hex() not in out
    told = facts("store", "diff", "a.bin", "b.bin", status=1)
    assert [each["ski"] for each in told["only_a"] + told["only_b"]] == [X1_SKI, X2_SKI]
    assert [(c["a"]["path_length"], c["b"]["path_length"]) for c in told["changed"]] == [(None, 0)]
    assert told["identities"] == {"only_a": ["gone"], "only_b": [], "changed": ["device-17"]}
    assert told["hides"] == {"only_a": [], "only_b": ["07" * 20]}


@pytest.mark.parametrize("what", ["identities", "removed"])
def test_diff_of_what_is_no_certificate(folder, device, what):
    put("a.bin", ["ISRG Root X1"])
    put("b.bin", ["ISRG Root X1"], **{what: [device] if what == "identities" else [(bytes(20), bytes(4))]})
    assert len(answer("store", "diff", "a.bin", "b.bin", status=1)[0].splitlines()) == 1


def test_diff_that_cannot_compare_has_a_status_of_its_own(folder):
    build("ISRG Root X1")
    for words in (("roots.bin", "gone.bin"), ("gone.bin", "roots.bin")):
        out, errors = answer("store", "diff", *words, status=2)
        assert out == "" and errors.startswith("securesocket: gone.bin: there is no store here")
    answer("store", "diff", "roots.bin", status=2)


# ---- verify


def test_verify(folder):
    build("ISRG Root X1")
    assert run("store", "verify") == run("store", "verify", "roots.bin")
    assert run("store", "verify") == "roots.bin: sound, 1 certificate\n"
    told = facts("store", "verify")
    assert told["sound"] is True and told["certificates"] == 1 and len(told["sha256"]) == 64


def test_verify_finds_any_byte(folder):
    put("roots.bin", ["ISRG Root X2"], [identity("device-17", [pki.make("device-17", hosts=())])])
    good = (folder / "roots.bin").read_bytes()
    for at in [*range(0, 96, 5), *range(96, len(good), 37), len(good) - 1]:
        (folder / "roots.bin").write_bytes(good[:at] + bytes((good[at] ^ 0x40,)) + good[at + 1 :])
        assert run("store", "verify", status=1).startswith("securesocket: roots.bin: "), at


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"text", "CorruptStore", "store-magic"),
        (None, "StoreError", "store-missing"),
    ],
)
def test_verify_tells_scripts_what_is_wrong(folder, data, kind, code):
    if data is not None:
        (folder / "x.bin").write_bytes(data)
    out, errors = answer("store", "verify", "x.bin", "--json", status=1)
    told = json.loads(out)
    assert (told["store"], told["sound"], told["error"], told["code"]) == ("x.bin", False, kind, code)
    assert errors == f"securesocket: x.bin: {told['message']}\n"


def test_verify_of_a_folder(folder):
    out, errors = answer("store", "verify", ".", "--json", status=1)
    assert json.loads(out)["code"] is None and "Is a directory" in errors
