"""What a row of the command table is, and the terminal that its handlers print to."""

import sys
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console

# Wide enough that no row of a table is folded where nobody looks at columns.
_PIPE_WIDTH = 400


class Command(NamedTuple):
    """`securesocket [GROUP] VERB`: an importable function, and the parameters that click reads for it."""

    group: str | None
    verb: str
    handler: Callable
    help: str
    parameters: tuple


def console():
    """Standard output; names are printed as they are, without rich's markup."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=width)
