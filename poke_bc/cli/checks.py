"""Commands that examine data, runs and the installation: inspect, verify, info."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poke_bc.cli.output import SHARDS, Json, Progress, Quiet, print_json, progress_bar, show
from poke_bc.contract.errors import InputError, ShardError, UsageError

if TYPE_CHECKING:
    from poke_bc.inspect import Inspection


def inspect(
    path: Annotated[Path, typer.Argument(help="Raw file, folder of shards, or run.")] = SHARDS,
    schema: Annotated[str, typer.Option(help="For raw files: auto, basic, singles, or a TOML file.")] = "auto",
    leaks: Annotated[bool, typer.Option("--leaks", help="Check singles shards: do a player's own move slots reveal "
                                                        "which moves are used later?")] = False,
    against: Annotated[Path | None, typer.Option(help="With --leaks: shards to compare with, ideally of the same "
                                                      "battles converted with requests.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what data or a run contains: counts, ranges, constant fields, labels, and anything unusual."""
    if leaks:
        from poke_bc.leaks import check_leaks
        from poke_bc.leaks import render as render_leaks

        report = check_leaks(path, against)
        return print_json(report.to_dict()) if as_json else show(render_leaks(report))
    if against is not None:
        raise UsageError("--against requires --leaks", hint=f"--leaks --against {against}")
    from poke_bc.inspect import render

    with progress_bar("decisions", quiet=quiet) as progress:
        found = inspect_any(path, schema, progress)
    return print_json(found.to_dict()) if as_json else show(render(found))


def inspect_any(path: Path, schema: str = "auto", progress: Progress = lambda *_: None) -> Inspection:
    """Inspect shards, a run, or a raw file, which is preprocessed into temporary shards with `schema` and `progress`.

    Raises UsageError for anything else, and what the readers raise.
    """
    from poke_bc.inspect import inspect_run, inspect_shards

    if (path / "manifest.json").exists():
        return inspect_shards(path)
    if (path / "config.toml").exists():
        return inspect_run(path)
    if (path / "digests.json").exists():
        raise UsageError(f"{path}: a checkpoint or a policy, not a run", hint="give the folder of the run")
    if path.exists() and not (path.is_dir() or path.is_file()):
        raise UsageError(f"{path}: not a regular file, so reading it may never end",
                         hint="write it to a file first, or preprocess it and inspect the shards")
    from pipelines.preprocess import preprocess

    with tempfile.TemporaryDirectory(prefix="poke-bc-inspect-", ignore_cleanup_errors=True) as folder:
        try:
            preprocess([path], folder, schema=schema, max_bad=1.0, progress=progress)
        except InputError as error:
            if folder not in error.hint:
                raise
            raise InputError(error.what, hint="preprocess names each bad line in a file") from None
        found = inspect_shards(Path(folder))
    facts = {name: value for name, value in found.facts.items()
             if name not in ("shards", "bytes", "bytes_per_decision", "split")}
    remarks = [remark for remark in found.remarks if not remark.startswith("not split")]
    return replace(found, path=str(path), kind="raw", facts=facts, remarks=remarks)


def verify(
    path: Annotated[Path, typer.Argument(help="Folder of shards, run, or checkpoint.")] = SHARDS,
    as_json: Json = False,
) -> None:
    """Check every file against its recorded hash; the exit code is 3 if any differs."""
    from poke_bc.verify import verify as check

    found = check(path)
    if as_json:
        print_json(found.to_dict())
        raise typer.Exit(ShardError.exit_code if found.differences else 0)
    for line in (*found.differences, *(f"{name}: not part of the data (harmless)" for name in found.leftovers)):
        print(line)
    if found.differences:
        raise ShardError(f"{path}: {len(found.differences)} of {found.files} files do not match their recorded hash",
                         hint="write them again, or restore them from an intact copy")
    print(f"{path}: all {found.files} files ({found.bytes / 1e6:,.1f} MB) match their recorded hashes")


def info(as_json: Json = False) -> None:
    """Print versions, devices and the decoder in use, for bug reports."""
    from poke_bc.info import info as gather

    facts = gather()
    if as_json:
        return print_json(facts)
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item or '-'}" for key, item in value.items())
        print(f"{name:<11} {', '.join(value) if isinstance(value, list) else value}")
