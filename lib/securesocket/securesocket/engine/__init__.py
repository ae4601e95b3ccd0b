"""Engines run TLS. Everything above asks the chosen one what it can do (`features`)."""

from . import stock as engine  # noqa: F401  (the only engine there is today)
