"""The one error of the command: printed as `securesocket: message` on stderr, exit status 1."""

import contextlib

import click

from certstore.errors import SecureSocketError


class CommandError(click.ClickException):
    """message: what was found, what was expected, and what to do; one line or several."""

    exit_code = 1

    def show(self, file=None):
        click.echo(f"securesocket: {self.message}", file=file, err=file is None)


@contextlib.contextmanager
def about(what):
    """Errors of files and of certstore inside become CommandErrors that name what they are about."""
    try:
        yield
    except SecureSocketError as error:
        raise CommandError(f"{what}: {error}") from error
    except OSError as error:
        raise CommandError(f"{what}: {error.strerror or error}") from error
