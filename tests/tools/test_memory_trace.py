"""A trace as a file, as a chart, and as a picture: of traces that are made here."""

import copy
import itertools
import json
import math
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest

from plugins.command import answer, run
from securesocket_cli import memory_chart, memory_picture, memory_trace
from securesocket_cli.errors import CommandError

FREE = 40_000
# (ms, way, name, size, bytes in use above the start)
PASSED = (
    (1, "=", "resolve", 0, 3_576),
    (1, "=", "connect", 0, 4_284),
    (3, ">", "ClientHello", 109, 26_003),
    (3, "<", "ServerHello", 89, 26_288),
    (3, "<", "Certificate", 882, 26_343),
    (23, "=", "verify", 368, 31_361),
    (24, "<", "ServerKeyExchange", 147, 32_694),
    (35, "<", "ServerHelloDone", 4, 32_612),
    (43, ">", "ClientKeyExchange", 70, 32_925),
    (43, ">", "ChangeCipherSpec", 1, 34_163),
    (44, ">", "Finished", 40, 34_190),
    (44, "<", "Finished", 40, 34_299),
    (44, "=", "open", 0, 33_388),
)
BUDGET = {"needed": 36_500, "largest_needed": 16_800, "free": FREE, "largest_block": 33_000, "fits": True,
          "reserve": 0, "key": "EC P-256"}  # fmt: skip
GOOD = {
    "format": "securesocket-trace",
    "version": 1,
    "facts": {
        "machine": "host with linux",
        "micropython": "1.26.1",
        "mbedtls": "3.6.6",
        "host": "localhost:4433",
        "heap": "MicroPython",
        "heap_bytes": 65_536,
        "budget": BUDGET,
        "report": {"handshake_ms": 43, "cipher": "TLS-X", "version": "TLSv1.2", "anchor": "CN=Root",
                   "anchor_source": "certificate", "chain": ["CN=localhost", "CN=Root"]},
    },
    "events": [[ms, way, name, size, FREE - used] for ms, way, name, size, used in PASSED],
}  # fmt: skip
FAILED = copy.deepcopy(GOOD)
FAILED["facts"] |= {
    "report": None,
    "error": {"class": "MemoryBudgetError", "code": "memory-verify", "text": "the heap is too small"},
}
FAILED["events"][6:] = [[27, "=", "failed memory-verify", 0, 900]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.json"


def write(path, content):
    path.write_text(json.dumps(content))
    return path


# ---- the file


def test_what_is_saved_is_what_is_read(path):
    trace = memory_trace.load(write(path, GOOD))
    memory_trace.save(trace, path)
    assert memory_trace.load(path) == trace
    assert [event.name for event in trace.events] == [row[2] for row in PASSED]
    # An event a line: for people, and for diff.
    assert (
        sum('"ClientHello"' in line and line.count("[") == 1 for line in path.read_text().splitlines()) == 1
    )


def changed(*keys, to):
    content = copy.deepcopy(GOOD)
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return content


BAD = (
    ([], 'expected "format"'),
    ({}, 'expected "format"'),
    (changed("format", to="trace"), 'expected "format"'),
    (changed("version", to=2), "found version 2, expected 1"),
    (changed("version", to=0), "found version 0, expected 1"),
    (changed("version", to=True), "found version True, expected 1"),
    (changed("version", to="1"), "found version '1', expected 1"),
    (changed("facts", to=[]), "expected facts, an object"),
    (changed("facts", "weather", to="fine"), "found a fact 'weather'"),
    (changed("facts", "machine", to=5), "fact machine: found 5, expected a text"),
    (changed("facts", "machine", to="x" * 2001), "fact machine: found"),
    (changed("facts", "heap_bytes", to=-1), "fact heap_bytes: found -1, expected a number"),
    (changed("facts", "heap_bytes", to=1.5), "fact heap_bytes: found 1.5"),
    (changed("facts", "heap_bytes", to=1 << 41), "fact heap_bytes: found"),
    (changed("facts", "budget", to=3), "fact budget: expected an object"),
    (changed("facts", "budget", "needed", to=True), "fact budget.needed: found True"),
    (changed("facts", "budget", "fits", to=1), "fact budget.fits: found 1, expected true or false"),
    (changed("facts", "budget", "wanted", to=1), "found a fact 'budget.wanted'"),
    (changed("facts", "report", "chain", to=["CN=a", 1]), "fact report.chain: found"),
    (changed("facts", "error", to={"class": "X"}), "fact error: expected its class and code"),
    (changed("events", to={}), "expected events, a list"),
    (changed("events", to=[]), "found no events"),
    (changed("events", to=GOOD["events"] * 80), "expected events, a list of at most 1000"),
    (changed("events", 3, to=None), "event 3: found None"),
    (changed("events", 3, to=[1, "<", "x", 0]), "event 3: found"),
    (changed("events", 3, 0, to="3"), "event 3: found"),
    (changed("events", 3, 0, to=2), "event 3 is at 2 ms, expected 3 or later"),
    (changed("events", 3, 1, to="!"), "event 3: found"),
    (changed("events", 3, 2, to=""), "event 3: found"),
    (changed("events", 3, 3, to=-1), "event 3: found"),
    (changed("events", 3, 4, to=False), "event 3: found"),
)


@pytest.mark.parametrize(("content", "found"), BAD, ids=[row[1] for row in BAD])
def test_a_file_that_is_no_trace(path, content, found):
    text = run("memory", "--from", write(path, content), status=1)
    assert "trace.json: " in text and found in text
    assert text.count("\n") == 1


def test_a_file_that_is_cut_off_anywhere(path):
    data = json.dumps(GOOD).encode()
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(CommandError, match="no JSON, or it is cut off"):
            memory_trace.load(path)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b"{" + b" " * (1 << 20)])
def test_a_file_that_is_something_else(path, data):
    path.write_bytes(data)
    assert "trace.json: " in run("memory", "--from", path, status=1)


def test_a_file_that_does_not_exist(path):
    assert "No such file" in run("memory", "--from", path, status=1)


def test_names_of_a_trace_are_foreign_text(path):
    content = changed("events", 3, 2, to="\x1b[2J\u202e")
    content["facts"]["machine"] = "\x1b]0;title\x07"
    shown = run("memory", "--from", write(path, content))
    assert "\x1b" not in shown and "\\1B[2J\\u{202E}" in shown and "\u202e" not in shown


# ---- what a device tells


def test_events_that_got_lost(path):
    rows = [("fact", "machine", "x"), ("event", (0, "=", "resolve", 0, 9)), ("events", 2)]
    with pytest.raises(CommandError, match="found 1 events of 2"):
        memory_trace.of_rows(rows, "unix")


# ---- the chart


def test_chart(path):
    shown = run("memory", "--from", write(path, GOOD)).splitlines()
    assert "open, verified after a handshake of 43 ms" in shown[1]
    (budget,) = [line for line in shown if line.startswith("budget ")]
    assert "needed 36,500 for EC P-256, free 40,000, largest block 33,000 bytes" in budget
    assert any(line.startswith("most in use  34,299 bytes above") for line in shown)
    (hello,) = [line for line in shown if "ClientHello" in line]
    assert hello.split()[:5] == ["3", ">", "ClientHello", "109", "26,003"]
    full = [line for line in shown if line.endswith(("█", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "┊", "│", "┃"))]
    assert len(full) == len(PASSED)


def test_bars_are_as_long_as_the_heap_in_use(path):
    trace = memory_trace.load(write(path, GOOD))
    shown = run("memory", "--from", path).splitlines()
    for event, line in zip(trace.events, [line for line in shown if line.endswith("┃")], strict=True):
        cells = line.count("█") + (re.search("[▏▎▍▌▋▊▉]", line) is not None) / 2
        assert abs(cells - trace.used(event) / memory_chart.scale(trace) * 48) < 1


def test_chart_of_a_failure(path):
    shown, _ = answer("memory", "--from", write(path, FAILED), status=1)
    assert "failed: memory-verify" in shown and "✗  failed memory-verify" in shown
    assert "MemoryBudgetError: the heap is too small" in shown


def test_a_line_far_above_is_told_and_not_drawn(path):
    shown = run("memory", "--from", write(path, changed("facts", "budget", "largest_block", to=900_000)))
    assert "largest block 900,000 (beyond the bars)" in shown


def test_peak_is_the_highest_that_anything_saw(path):
    trace = memory_trace.load(write(path, GOOD))
    assert trace.peak == 34_299
    lowest = changed("facts", "report", "heap_lowest", to=FREE - 36_000)
    assert memory_trace.load(write(path, lowest)).peak == 36_000
    lowest["facts"]["peak_bytes"] = 37_000
    assert memory_trace.load(write(path, lowest)).peak == 37_000


def test_events_of_one_millisecond_keep_their_order(path):
    times = memory_trace.load(write(path, GOOD)).times()
    assert times == sorted(times) and len(set(times)) == len(times)
    assert [int(at) for at in times] == [row[0] for row in PASSED]


# ---- the picture


def colours(svg):
    """Those that are drawn with, in the order of the alphabet."""
    drawn = re.sub(r"<style>.*?</style>", "", svg, flags=re.S)
    return sorted(set(re.findall(r"(?:fill|stroke): (#\w{6})", drawn)))


@pytest.mark.parametrize("content", [GOOD, FAILED], ids=["passed", "failed"])
def test_svg(path, content):
    out = path.with_suffix(".svg")
    shown, _ = answer("memory", "--from", write(path, content), "--out", out, status=int(content is FAILED))
    assert shown.endswith(f"wrote {out}\n")
    svg = out.read_text()
    ElementTree.fromstring(svg)
    # Each colour of a light page has one for a dark page.
    for colour in colours(svg):
        assert f'"fill: {colour}"' in svg and f'"stroke: {colour}"' in svg
    assert (memory_picture.FAILED[0] in colours(svg)) == (content is FAILED)
    for line in (memory_picture.NEEDED, memory_picture.LARGEST, memory_picture.FREE):
        assert line[0] in colours(svg)


def test_same_trace_gives_the_same_bytes(path):
    trace = memory_trace.load(write(path, GOOD))
    assert memory_picture.draw(trace, "svg") == memory_picture.draw(trace, "svg")


def test_png(path):
    out = path.with_suffix(".PNG")
    run("memory", "--from", write(path, GOOD), "--out", out)
    assert out.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def texts(content, path):
    """The Text objects of a picture's names, with the figure that has them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trace = memory_trace.load(write(path, content))
    figure = Figure((memory_picture._WIDTH_IN, memory_picture._HEIGHT_IN))
    FigureCanvasAgg(figure)
    axes = figure.add_axes(memory_picture._AXES)
    memory_picture._curve(axes, trace)
    memory_picture._frame(axes, trace)
    memory_picture._names(axes, trace)
    names = list(axes.texts)
    memory_picture._lines(axes, trace)
    return figure, names, axes.texts[len(names) :]


MANY = copy.deepcopy(GOOD)
MANY["events"] = [[2, "<", f"CertificateVerify{n}", n, 30_000 - n] for n in range(70)]


@pytest.mark.parametrize("content", [GOOD, FAILED, MANY], ids=["passed", "failed", "many at once"])
def test_names_do_not_overlap(path, content):
    """All are parallel: between two of them there is room for the letters."""
    figure, names, lines = texts(content, path)
    renderer = figure.canvas.get_renderer()
    assert len(names) == len(content["events"])
    at = [name.get_transform().transform(name.get_position()) for name in names]
    for (x, y), (next_x, next_y), name in zip(at, at[1:], names, strict=False):
        assert y == next_y
        apart = (next_x - x) * math.sin(math.radians(name.get_rotation()))
        assert apart >= name.get_fontsize() * figure.dpi / 72
    for name in names:
        box = name.get_window_extent(renderer)
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    boxes = sorted((line.get_window_extent(renderer) for line in lines), key=lambda box: box.y0)
    for box, above in itertools.pairwise(boxes):
        assert box.y1 <= above.y0
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_places_are_apart_and_as_near_as_they_can_be():
    spread = memory_picture.spread
    assert spread([], 1, 0, 10) == []
    assert spread([3], 1, 0, 10) == [3]
    assert spread([1, 5, 9], 2, 0, 10) == [1, 5, 9]
    assert spread([5, 5], 2, 0, 10) == [4, 6]
    assert spread([0, 0, 0], 2, 0, 10) == [0, 2, 4]
    assert spread([10, 10], 2, 0, 10) == [8, 10]
    generator = random.Random(5)
    for _ in range(300):
        count = generator.randrange(1, 30)
        wanted = sorted(generator.random() for _ in range(count))
        places = spread(wanted, 0.03, 0, 1)
        assert all(b - a >= 0.03 - 1e-9 for a, b in itertools.pairwise(places))
        assert -1e-9 <= places[0] and places[-1] <= 1 + 1e-9


@pytest.mark.parametrize("name", ["heap.pdf", "heap", "svg"])
def test_a_picture_of_another_kind(path, name):
    text = run("memory", "--from", write(path, GOOD), "--out", path.parent / name, status=1)
    assert "expected a name that ends in .svg or .png" in text


def test_a_picture_in_a_folder_that_does_not_exist(path):
    text = run("memory", "--from", write(path, GOOD), "--out", path.parent / "no" / "heap.svg", status=1)
    assert "found no folder" in text


def test_without_matplotlib(path, monkeypatch):
    write(path, GOOD)
    monkeypatch.setattr(memory_picture.importlib.util, "find_spec", lambda name: None)
    text = run("memory", "--from", path, "--out", path.with_suffix(".svg"), status=1)
    assert "matplotlib is not installed" in text and "pip install matplotlib" in text
    assert "ClientHello" in run("memory", "--from", path)


def test_a_failure_before_any_event_has_no_picture(path):
    content = copy.deepcopy(FAILED)
    content["events"] = []
    shown, said = answer(
        "memory", "--from", write(path, content), "--out", path.with_suffix(".svg"), status=1
    )
    assert "failed: memory-verify" in shown
    assert "found no events" in said and "--anyway" in said
    assert not path.with_suffix(".svg").exists()
