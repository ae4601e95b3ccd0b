"""The error tree: every class has codes, every code one sentence, and errors stay OSErrors."""

import os
import sys

import securesocket.clock as clock
import securesocket.datagram_errors as datagrams
import securesocket.sentences as sentences
from certstore import errors as base
from certstore import sentences as base_sentences
from securesocket import errors
from support import raises

CLASSES = [
    kind
    for module in (base, errors, clock, datagrams)
    for kind in (getattr(module, name) for name in dir(module))
    if isinstance(kind, type) and issubclass(kind, base.SecureSocketError)
]


TABLE = dict(base_sentences.SENTENCES + sentences.SENTENCES)


def codes(kind):
    return [row[0] for row in TABLE[kind.__name__]]


def test_every_class_has_codes_with_a_sentence():
    assert len(CLASSES) > 15
    for kind in CLASSES:
        assert codes(kind), kind
        for number, names in kind.numbers:
            assert isinstance(number, int) and number > 0
            for code in (names or "").split():
                assert code in codes(kind), code
        assert kind.numbers[-1][1] is None
        for code in codes(kind):
            assert code == code.lower()
            sentence, remedy = sentences.of(code)
            assert sentence and not sentence.endswith("."), code
            assert remedy is None or remedy, code


def test_a_code_stands_for_one_cause_in_the_whole_tree():
    owners = {}
    for kind in CLASSES:
        for code in codes(kind):
            assert owners.setdefault(code, kind) is kind, code


def test_every_class_knows_whose_words_it_has():
    for kind in CLASSES:
        for code in codes(kind):
            assert kind.package == "securesocket"
            words = sentences.of(code)
            assert words == next(row[1:] for row in TABLE[kind.__name__] if row[0] == code)


def test_every_class_of_the_table_is_there():
    assert sorted(TABLE) == sorted({kind.__name__ for kind in CLASSES})


def test_every_option_tells_what_it_takes():
    from securesocket.context import FEATURES, OPTIONS

    assert [name for name, _ in sentences.TAKES] == list(OPTIONS)
    assert set(FEATURES) < set(OPTIONS)


def test_an_error_is_an_oserror_with_a_number_and_tells_found_expected_and_remedy():
    error = errors.ConfigurationError("option-value", found="a=1", expected="2", remedy="ask")
    assert isinstance(error, OSError) and error.errno == 22
    text = "the option's value cannot be used: found a=1, expected 2; remedy: ask"
    assert str(error) == text
    assert repr(error) == "ConfigurationError: " + text


def test_the_usual_remedy_gives_way_to_a_better_one():
    assert "pass server_hostname=" in str(errors.ConfigurationError("server-name"))
    assert errors.ConfigurationError("server-name", remedy="other").remedy == "other"


def test_a_timeout_names_its_stage():
    error = errors.HandshakeTimeout("timeout", "connect", 1500)
    assert error.stage == "connect" and "1500 ms" in str(error) and error.errno == 110


def test_the_words_are_read_when_they_are_asked_for_and_errors_do_without_them():
    error = errors.Expired("expired", found="x")
    assert error.sentence == "the certificate has expired" and "renew" in error.remedy
    assert error.args == (13, "expired")
    for name in ("sentences", "nothing"):
        assert not hasattr(error, name)
    # A package without its sentences.
    os.mkdir("wordless")
    sys.path.insert(0, "")
    try:
        error.package = "wordless"
        assert error.sentence is None and error.remedy is None
        assert str(error) == 'expired: found x; in words: mip.install("wordless-explain")'
    finally:
        sys.path.pop(0)
        os.rmdir("wordless")


def test_a_part_that_is_not_installed_is_named_with_its_package():
    assert base.part("certstore.pem").__name__ == "certstore.pem"
    assert base.part("certstore.nothing") is None
    error = raises(base.MissingPackage, "package", base.part, "certstore.nothing", "certstore-some")
    assert error.expected == "certstore-some" and error.errno == 95
    assert 'mip.install("certstore-some")' in str(error) and "certstore.nothing" in str(error)


def test_a_fault_inside_a_part_is_not_a_missing_part():
    name = "broken_part"
    with open(name + ".py", "w") as file:
        file.write("import no_such_thing_at_all")
    sys.path.insert(0, "")
    try:
        base.part(name)
    except ImportError as error:
        assert "no_such_thing_at_all" in str(error)
    else:
        raise AssertionError("swallowed")
    finally:
        sys.path.pop(0)
        os.remove(name + ".py")


def test_an_error_without_words_of_its_own_is_told_by_its_code():
    # Of packages in two versions; that this one has all, tests/tools/test_docs.py holds.
    assert str(errors.Expired("no-such-code", found="x")).startswith("no-such-code: found x")


def test_the_package_gives_errors_by_name():
    import securesocket

    assert securesocket.UnknownIssuer is errors.UnknownIssuer
    assert securesocket.errors is errors
    for name in ("Nothing", "nothing", "_nothing"):
        try:
            getattr(securesocket, name)
        except AttributeError:
            continue
        raise AssertionError(name)
    raises(base.SecureSocketError, "closed", _raise, base.SecureSocketError("closed"))


def _raise(error):
    raise error
