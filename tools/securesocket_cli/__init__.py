"""The host command `securesocket`."""

from . import checkout as checkout  # before any module here imports certstore
