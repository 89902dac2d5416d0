"""The command line: thin commands that parse, call one function and print. Heavy imports happen inside them.

Results go to stdout (JSON with --json), progress and messages to stderr; errors.py says how commands fail.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from poke_bc.cli.checks import info, inspect, verify
from poke_bc.cli.data import convert, preprocess, split
from poke_bc.cli.errors import ErrorReportingGroup
from poke_bc.cli.play import play
from poke_bc.cli.runs import evaluate, report, train
from poke_bc.cli.share import export, push
from poke_bc.cli.terminal import prepare
from poke_bc.cli.watch import watch
from poke_bc.version import __version__

# Where cores are few or busy, a waiting OpenMP thread that spins takes the core of the thread it waits for: next to one
# busy process, steps with two threads were 10 times as slow; with sleeping threads they were not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(name="poke-bc", cls=ErrorReportingGroup,
                  pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
                  help="From human Pokémon Showdown battles to a policy that plays like those humans.")
for command in (convert, preprocess, split, train, evaluate, report, play, watch, export, push, inspect, verify, info):
    app.command()(command)


def main() -> None:
    """Entry point of the `poke-bc` command."""
    prepare()
    app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"poke-bc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                          help="Print the version and exit.")] = False,
) -> None:
    pass
