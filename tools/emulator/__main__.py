"""python -m emulator: an emulated Pico with a REPL on this terminal and on a socket. `make emulate`."""

import asyncio
import json
import subprocess
import sys

import click

from emulator import HOST
from emulator.client import Emulator
from emulator.errors import EmulatorError
from emulator.serve import serve

PORT = 2040


@click.group(invoke_without_command=True)
@click.option("--port", default=PORT, show_default=True, help="where the REPL listens, on loopback")
@click.pass_context
def cli(context, port):
    """Boot build/firmware/PICO_SECURE on an emulated Pico."""
    if context.invoked_subcommand is None:
        terminal(port)


def terminal(port):
    click.echo("booting the emulated Pico …")
    with Emulator(repl_port=port) as pico:
        where = f"socket://{HOST}:{pico.repl_port}"
        click.echo(
            f"network: up, through PPP; this computer's loopback is 10.0.2.2, and `localhost`\n"
            f"connect: {sys.executable.rpartition('/')[0]}/securesocket repl {where}"
        )
        try:
            if sys.stdin.isatty():
                subprocess.run([sys.executable, "-m", "securesocket_cli", "repl", where], check=False)
            else:
                sys.stdin.read()
        except KeyboardInterrupt:
            click.echo()


@cli.command("serve", hidden=True)
@click.argument("uf2")
@click.argument("elf")
@click.option("--repl-port", default=0)
@click.option("--flash", "placed", type=(int, click.File("rb")), multiple=True)
def serve_command(uf2, elf, repl_port, placed):
    """The machine's own process; what it says is for emulator.client."""
    flash = {offset: file.read() for offset, file in placed}
    try:
        asyncio.run(serve(uf2, elf, repl_port, flash, say=lambda line: print(line, flush=True)))
    except EmulatorError as error:
        sys.exit(json.dumps({"failed": [error.code, str(error)]}))


if __name__ == "__main__":
    try:
        cli()
    except EmulatorError as error:
        sys.exit(f"securesocket: {error}")
