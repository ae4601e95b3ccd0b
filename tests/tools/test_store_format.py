"""docs/store-format.md: its example is a store, its figures are those of the code."""

import re
from datetime import UTC, datetime
from pathlib import Path

import certifi

from certstore import anchors, pem, words
from certstore.certificate import Certificate
from certstore.names import common_name
from plugins.interpreters import ROOT


def store_format():
    return (ROOT / "docs" / "store-format.md").read_text()


def test_the_worked_example_of_the_format_is_a_store():
    """Every byte of it: what is abbreviated is the key."""
    ders = pem.decode(Path(certifi.where()).read_bytes())
    der = next(one for one in ders if common_name(Certificate(one).subject) == "ISRG Root X2")
    blob = anchors.build([der], int(datetime(2026, 10, 18, tzinfo=UTC).timestamp()))
    block = store_format().partition("## A worked example")[2].split("```")[1]
    end = 0
    for line in block.strip().splitlines():
        at, shown = re.match(r" *(\d+)  ((?:[0-9a-f]{2} )*[0-9a-f]{2}|)", line).groups()
        shown = bytes.fromhex(shown)
        assert int(at) == end, line
        assert blob[end : end + len(shown)] == shown, line
        end += 96 if "..." in line else len(shown)
    assert end == len(blob) == 274 and len(der) == 543


def test_the_sizes_that_the_format_tells():
    """Of certifi's roots; a newer certifi needs new figures here."""
    ders = pem.decode(Path(certifi.where()).read_bytes())
    table = store_format().partition("## Size")[2].partition("## Errors")[0]
    for size in (
        Path(certifi.where()).stat().st_size,
        sum(map(len, ders)),
        len(anchors.build(ders, 0)),
    ):
        assert f"{size:,}" in table, size
    assert len(ders) == 117 and len(anchors.build(ders, 0)) <= 50_000


def test_the_dictionary_that_the_format_tells():
    assert f"{len(words.TEXT)} bytes of text in {len(words.LENGTHS)} words" in store_format()
