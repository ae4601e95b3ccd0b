"""A trace as SVG or PNG: the heap in use over the connection, each event named, the budget's lines across.

Names stand in a row above the curve, as far apart as their letters need, and a thin line leads from each to
its moment: so they never overlap, however close the moments are. An SVG has the colours of a dark page too,
for viewers that ask for them; the same trace gives the same bytes.
"""

import importlib.util
import io
import pathlib

from certstore import names

from . import memory_chart
from .errors import CommandError, about

FORMATS = (".svg", ".png")

# (on a light page, on a dark one)
INK = ("#1f2328", "#e6edf3")
FAINT = ("#59636e", "#9198a1")
GRID = ("#d1d9e0", "#3d444d")
PAPER = ("#ffffff", "#0d1117")
WAYS = {"<": ("#0969da", "#4493f8"), ">": ("#bc4c00", "#f0883e"), "=": ("#57606a", "#adbac7")}
CURVE = ("#0a5fc2", "#388bfd")
NEEDED = ("#8250df", "#bc8cff")
LARGEST = ("#1a7f37", "#3fb950")
FREE = ("#9a6700", "#d29922")
PEAK = ("#24292f", "#f0f6fc")
FAILED = ("#cf222e", "#ff7b72")
_PAIRS = (INK, FAINT, GRID, PAPER, *WAYS.values(), CURVE, NEEDED, LARGEST, FREE, PEAK, FAILED)

_WIDTH_IN, _HEIGHT_IN = 11, 6.4
# The axes within the figure: left, bottom, width, height.
_AXES = (0.075, 0.1, 0.74, 0.5)
# Between two names, and between two lines' texts, as a share of the axes.
_NAME_STEP, _LINE_STEP = 0.036, 0.062
_NAMES_AT = 1.09
_LONGEST_NAME = 28
_DPI = 160
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "path",
    "svg.hashsalt": "securesocket",
    "axes.linewidth": 0.8,
}


def check(path):
    """CommandError if a picture cannot be written there, before any time was spent on a trace."""
    if pathlib.Path(path).suffix.lower() not in FORMATS:
        raise CommandError(f"--out {names.escape(str(path))}: expected a name that ends in .svg or .png")
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError("matplotlib is not installed; expected it for --out: pip install matplotlib")
    folder = pathlib.Path(path).resolve().parent
    if not folder.is_dir():
        raise CommandError(f"--out {names.escape(str(path))}: found no folder {names.escape(str(folder))}")


def write(trace, path):
    """Write the picture of a Trace. Raises CommandError."""
    check(path)
    if not trace.events:
        raise CommandError(
            "found no events, expected some to draw; remedy: a larger --heap, or --anyway if it was the "
            "budget that said no"
        )
    suffix = pathlib.Path(path).suffix.lower()
    data = draw(trace, suffix[1:])
    with about(names.escape(str(path))):
        pathlib.Path(path).write_bytes(data)


def draw(trace, kind):
    """The bytes of the picture; kind: "svg" or "png"."""
    # The object-oriented interface: no window, no state, no display.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure((_WIDTH_IN, _HEIGHT_IN), facecolor=PAPER[0])
        axes = figure.add_axes(_AXES, facecolor=PAPER[0])
        _curve(axes, trace)
        _frame(axes, trace)
        _lines(axes, trace)
        _names(axes, trace)
        _words(figure, trace)
        file = io.BytesIO()
        metadata = {"Date": None, "Title": "Heap in use over a TLS handshake"} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=_DPI, facecolor=PAPER[0], metadata=metadata)
    return _dark(file.getvalue()) if kind == "svg" else file.getvalue()


def _dark(svg):
    rules = "".join(
        f'[style*="{use}: {light}"]{{{use}:{dark} !important}}'
        for light, dark in dict.fromkeys(_PAIRS)
        for use in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    head, mark, rest = svg.decode().partition(" <metadata>")
    return (head + " " + style + "\n" + mark + rest).encode()


def _kilo(value):
    return value / 1024


def _top(trace):
    return memory_chart.scale(trace) * 1.08


def _end_ms(trace):
    return max(trace.times()[-1] * 1.02, 1)


def _curve(axes, trace):
    times = trace.times()
    used = [_kilo(trace.used(event)) for event in trace.events]
    # Before the first event there was nothing of the connection.
    axes.fill_between([0, times[0]], 0, [0, used[0]], color=CURVE[0], alpha=0.13, linewidth=0, zorder=1)
    axes.plot([0, times[0]], [0, used[0]], color=CURVE[0], linewidth=1.8, zorder=3)
    axes.plot(times, used, color=CURVE[0], linewidth=1.8, solid_joinstyle="round", zorder=3)
    axes.fill_between(times, 0, used, color=CURVE[0], alpha=0.13, linewidth=0, zorder=1)
    for at, height, event in zip(times, used, trace.events, strict=True):
        if event.failed:
            axes.plot([at], [height], "X", color=FAILED[0], markersize=13, markeredgecolor=PAPER[0],
                      zorder=6, clip_on=False)  # fmt: skip
        else:
            axes.plot([at], [height], "o", color=WAYS[event.way][0], markersize=5,
                      markeredgecolor=PAPER[0], markeredgewidth=0.8, zorder=4)  # fmt: skip


def _frame(axes, trace):
    axes.set_xlim(0, _end_ms(trace))
    lowest = min(0, *(trace.used(event) for event in trace.events))
    axes.set_ylim(_kilo(lowest), _kilo(_top(trace)))
    axes.set_xlabel("milliseconds since the connection began", color=FAINT[0])
    axes.set_ylabel("heap in use above the start (KB of 1,024 bytes)", color=FAINT[0])
    axes.tick_params(colors=FAINT[0], length=3)
    axes.grid(axis="y", color=GRID[0], linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID[0])


def _lines(axes, trace):
    """The budget's lines and the peak, each with its text in the right margin."""
    rows = []
    for name, colour, dash in (
        ("needed", NEEDED, (0, (6, 3))), ("largest_block", LARGEST, (0, (2, 2))), ("free", FREE, "solid"),
    ):  # fmt: skip
        value = trace.fact("budget", name)
        if value is not None:
            rows.append((value, f"{name.replace('_', ' ')} {value:,}", colour, dash))
    if trace.peak:
        rows.append((trace.peak, f"most in use {trace.peak:,}", PEAK, (0, (1, 2))))
    low, high = axes.get_ylim()
    rows.sort(key=lambda row: row[0])
    shares = [min(1, (_kilo(row[0]) - low) / (high - low)) for row in rows]
    places = spread(shares, _LINE_STEP, 0, 1 + _LINE_STEP)
    for (value, text, colour, dash), share, place in zip(rows, shares, places, strict=True):
        inside = value <= _top(trace)
        if inside:
            axes.axhline(_kilo(value), color=colour[0], linestyle=dash, linewidth=1.2, zorder=2)
            axes.plot([1, 1.018], [share, place], transform=axes.transAxes, color=colour[0], linewidth=0.8,
                      clip_on=False)  # fmt: skip
        axes.text(1.024, place, text if inside else f"{text} ↑", transform=axes.transAxes, color=colour[0],
                  va="center", fontsize=9)  # fmt: skip


def _names(axes, trace):
    """Each event's name above the axes, with a line to its moment."""
    low, high = axes.get_ylim()
    end = axes.get_xlim()[1]
    shares = [at / end for at in trace.times()]
    step = min(_NAME_STEP, 1.1 / max(1, len(shares)))
    places = spread(shares, step, 0.005, 1.1)
    for share, place, event in zip(shares, places, trace.events, strict=True):
        colour = FAILED if event.failed else WAYS[event.way]
        height = (_kilo(trace.used(event)) - low) / (high - low)
        axes.plot([share, share, place], [height, 1.02, _NAMES_AT - 0.01], transform=axes.transAxes,
                  color=colour[0], linewidth=0.6, alpha=0.55, clip_on=False, zorder=2)  # fmt: skip
        axes.text(place - 0.004, _NAMES_AT, _label(event), transform=axes.transAxes, color=colour[0],
                  rotation=52, rotation_mode="anchor", ha="left", va="center",
                  fontsize=9.5 * min(1, step / _NAME_STEP),
                  fontweight="bold" if event.failed else "normal")  # fmt: skip


def _label(event):
    arrow = {"<": "← ", ">": "→ ", "=": ""}[event.way]
    size = f"  {event.size:,}" if event.size and event.way != "=" else ""
    return f"{arrow}{names.escape(event.name, limit=_LONGEST_NAME)}{size}"


def _words(figure, trace):
    """Title, device, legend."""
    failed = bool(trace.fact("error"))
    report = trace.fact("report") or {}
    cipher = report.get("cipher") or ""
    what = "an EC certificate" if "ECDSA" in cipher else "an RSA certificate" if "RSA" in cipher else None
    title = f"Heap over a handshake with {what}" if what else "Heap over a handshake"
    figure.text(0.02, 0.955, title, fontsize=15, fontweight="bold", color=INK[0])
    figure.text(0.02, 0.918, memory_chart.device(trace), fontsize=9.5, color=FAINT[0])
    outcome = trace.outcome
    if report.get("cipher"):
        outcome += f", {names.escape(report['cipher'])}"
    figure.text(0.02, 0.887, outcome, fontsize=9.5, color=FAILED[0] if failed else LARGEST[0])
    for at, way, text in ((0.79, "<", "← received"), (0.865, ">", "→ sent"), (0.92, "=", "our own")):
        figure.text(at, 0.957, text, fontsize=9.5, color=WAYS[way][0])


def spread(wanted, step, low, high):
    """Places as near as they can be to the sorted `wanted`, at least `step` apart, within low and high."""
    groups = []
    for value in wanted:
        groups.append([value, 1])
        # Two groups that would overlap become one, around the middle of what its members want.
        while len(groups) > 1 and _overlap(groups[-2], groups[-1], step):
            middle, count = groups.pop()
            before, others = groups.pop()
            groups.append([(before * others + middle * count) / (others + count), others + count])
    places = []
    for middle, count in groups:
        places += [middle + (number - (count - 1) / 2) * step for number in range(count)]
    for number in range(len(places)):
        places[number] = max(places[number], low if number == 0 else places[number - 1] + step)
    for number in reversed(range(len(places))):
        places[number] = min(places[number], high if number == len(places) - 1 else places[number + 1] - step)
    return places


def _overlap(one, other, step):
    return one[0] + one[1] * step / 2 > other[0] - other[1] * step / 2
