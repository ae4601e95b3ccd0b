"""`securesocket flash`."""

COMMANDS = ()
