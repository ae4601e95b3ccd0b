"""The error tree: every class has codes, every code one sentence, and errors stay OSErrors."""

from certstore import errors as base
from securesocket import errors
from support import raises

CLASSES = [
    kind
    for module in (base, errors)
    for kind in (getattr(module, name) for name in dir(module))
    if isinstance(kind, type) and issubclass(kind, base.SecureSocketError)
]


def test_every_class_has_codes_with_a_sentence():
    assert len(CLASSES) > 15
    for kind in CLASSES:
        assert kind.codes, kind
        for code, number, sentence, remedy in kind.codes:
            assert code == code.lower() and " " not in code
            assert isinstance(number, int) and number > 0
            assert sentence and not sentence.endswith("."), code
            assert remedy is None or remedy, code


def test_a_code_stands_for_one_cause_in_the_whole_tree():
    owners = {}
    for kind in CLASSES:
        for row in kind.codes:
            assert owners.setdefault(row[0], kind) is kind, row[0]


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


def test_raising_an_unknown_code_is_a_fault_of_ours():
    try:
        errors.Expired("no-such-code")
    except KeyError:
        return
    raise AssertionError("accepted")


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
