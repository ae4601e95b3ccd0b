"""The command line of `securesocket`: a table of commands, made into click's."""

import click

from . import device_commands, doctor_commands, identity_commands, memory_commands, store_commands

# Each module of verbs has its own rows.
COMMANDS = (
    store_commands.COMMANDS
    + identity_commands.COMMANDS
    + device_commands.COMMANDS
    + memory_commands.COMMANDS
    + doctor_commands.COMMANDS
)

GROUPS = {
    "store": "Trust anchors for a device: build, change, compare, check, deploy.",
    "identity": "Certificates with their keys, which a device presents: make, import, list.",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="securesocket", message="%(version)s")
def cli():
    """TLS for MicroPython, verified by default: the tools on the host."""


def _add_commands():
    groups = {None: cli}
    for name, text in GROUPS.items():
        groups[name] = click.Group(name, help=text)
        cli.add_command(groups[name])
    for row in COMMANDS:
        function = row.handler
        for parameter in reversed(row.parameters):
            function = parameter(function)
        groups[row.group].command(row.verb, help=row.help)(function)


_add_commands()


def main():
    cli(prog_name="securesocket")
