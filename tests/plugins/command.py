"""The host command, run in the test's own process."""

import json
import sys

from click.testing import CliRunner

from plugins.interpreters import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from securesocket_cli.main import cli


def run(*words, status=0):
    """Standard output of a command, or standard error if it should fail with an error."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    if status:
        assert result.stdout == "" and result.stderr.startswith("securesocket: ")
        return result.stderr
    assert result.stderr == ""
    return result.stdout


def answer(*words, status):
    """(standard output, standard error) of a command whose exit status is part of its answer."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stdout, result.stderr


def facts(*words, status=0):
    """What a command with --json prints."""
    return json.loads(answer(*words, "--json", status=status)[0])
