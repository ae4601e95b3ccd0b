"""A trace in the terminal: a row for each event, the heap as a bar, the budget's lines across the bars."""

from rich.table import Table
from rich.text import Text

from certstore import names

from .store_output import say_facts
from .table import console

WAYS = {"<": "blue", ">": "dark_orange3", "=": "bright_black"}
_BAR = 48
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BLOCK = "█"
# A line of the budget is drawn up to this much above the rest; further off it would press the curve flat.
_NOT_FAR = 1.6
# The lines of the budget: fact, how it is drawn, style.
LINES = (
    ("needed", "┊", "magenta"),
    ("largest_block", "│", "green"),
    ("free", "┃", "bold"),
)


def show(trace):
    """Print it."""
    facts(trace)
    if trace.events:
        print_to = console()
        print_to.print()
        print_to.print(_table(trace))
        print_to.print(_legend(trace))


def number(value):
    return "–" if value is None else f"{value:,}"


def facts(trace):
    rows = [("device", device(trace))]
    if trace.fact("host"):
        rows.append(("connection", f"to {names.escape(trace.fact('host'))}: {trace.outcome}"))
    report = trace.fact("report") or {}
    if report.get("cipher"):
        rows.append(("suite", names.escape(f"{report['cipher']}, {report['version']}")))
    for depth, subject in enumerate(report.get("chain") or ()):
        rows.append((f"chain[{depth}]", names.escape(subject)))
    error = trace.fact("error")
    if error:
        rows.append(("error", names.escape(f"{error['class']}: {error['text']}", limit=600)))
    budget = trace.fact("budget") or {}
    if budget:
        key = f" for {names.escape(budget['key'])}" if budget.get("key") else ""
        text = (
            f"needed {number(budget.get('needed'))}{key}, free {number(budget.get('free'))}, largest block "
        )
        rows.append(("budget", text + f"{number(budget.get('largest_block'))} bytes"))
    if trace.peak is not None:
        rows.append(("most in use", f"{number(trace.peak)} bytes above the start"))
    say_facts(*rows)


def device(trace):
    """The device in a line."""
    parts = [
        trace.fact("machine") or "unknown machine",
        f"MicroPython {trace.fact('micropython') or '?'}",
        f"mbedTLS {trace.fact('mbedtls') or '?'}",
    ]
    if trace.fact("heap_bytes"):
        kind = "C heap" if trace.fact("heap") == "C" else "heap"
        parts.append(f"{kind} of {number(trace.fact('heap_bytes'))} bytes")
    return names.escape(", ".join(parts), limit=300)


def scale(trace):
    """What the picture's height stands for, in bytes: all that was in use, what was said to be needed, and
    whatever else is not far above."""
    height = max(trace.peak or 0, trace.fact("budget", "needed") or 0, 1)
    others = [trace.fact("budget", name) or 0 for name in ("largest_block", "free")]
    return max([height, *(value for value in others if value <= height * _NOT_FAR)])


def _table(trace):
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("ms", "right"), ("", "left"), ("event", "left"), ("bytes", "right"),
                           ("in use", "right"), ("heap in use above the start", "left")):  # fmt: skip
        table.add_column(title, justify=justify, no_wrap=True)
    lines = _lines(trace)
    for event in trace.events:
        style = "bold red" if event.failed else WAYS[event.way]
        used = trace.used(event)
        table.add_row(
            str(event.at_ms),
            Text("✗" if event.failed else event.way, style),
            Text(event.name, style),
            f"{event.size:,}" if event.size else "",
            f"{used:,}",
            _bar(used / scale(trace), lines, style),
        )
    return table


def _lines(trace):
    # {column: (character, style)} of the budget's lines that lie within the bars.
    found = {}
    for name, char, style in LINES:
        value = trace.fact("budget", name)
        if value is not None and value <= scale(trace):
            found[min(_BAR, round(value / scale(trace) * _BAR))] = (char, style)
    return found


def _bar(share, lines, style):
    eighths = max(0, round(share * _BAR * 8))
    text = _BLOCK * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    bar = Text()
    for column, char in enumerate(text.ljust(_BAR + 1)):
        line = lines.get(column)
        if line and char == " ":
            bar.append(*line)
        else:
            bar.append(char, style)
    bar.rstrip()
    return bar


def _legend(trace):
    text = Text()
    for name, char, style in LINES:
        value = trace.fact("budget", name)
        if value is None:
            continue
        beyond = value > scale(trace)
        text.append(f"{char} ", style)
        text.append(f"{name.replace('_', ' ')} {value:,}{' (beyond the bars)' if beyond else ''}   ")
    return text
