"""The command that shows played battles: watch."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from poke_bc.cli.output import Json, Progress, Quiet, open_page, print_json, progress_bar

if TYPE_CHECKING:
    from poke_bc.report import Report


def watch(
    logs: Annotated[list[str], typer.Argument(
        metavar="BATTLES...", help="What play --save-logs saved, replays, or anything else that convert reads.")],
    run: Annotated[Path, typer.Option(help="Folder of a run, a checkpoint or a policy; or hub:NAME.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("watched.html"),
    battles: Annotated[int | None, typer.Option(min=1, help="Only the first N battles.")] = None,
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step-00000500.")] = "best",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    show_it: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a page that shows battles turn by turn, with what a policy would have done beside what was done."""
    with TemporaryDirectory(prefix="poke-bc-") as folder, progress_bar("", quiet=quiet) as progress:
        written = _watched(logs, run, out, Path(folder), battles, checkpoint, device, progress)
    if show_it:
        open_page(out)
    if as_json:
        return print_json(asdict(written))
    sample = "" if written.battles == written.of else f" of {written.of:,}"
    print(f"{out}: {written.battles:,}{sample} battles with {written.decisions:,} decisions; open it in a web browser")


def _watched(logs: list[str], run: Path, out: Path, folder: Path, battles: int | None, checkpoint: str, device: str,
             progress: Progress) -> Report:
    """Battles -> trajectories -> shards -> page; all but the page in `folder`."""
    from pipelines.convert import convert_battles
    from pipelines.preprocess import preprocess
    from poke_bc.report import report

    raw, shards = folder / "raw.jsonl.zst", folder / "battles"
    convert_battles(logs, raw, limit=battles, salt=secrets.token_hex(8), progress=progress)
    preprocess([raw], shards, progress=progress)
    return report([run], out, shards, "all", checkpoint=checkpoint, device=device,
                  progress=lambda stage: progress(stage, 0, None, 0))
