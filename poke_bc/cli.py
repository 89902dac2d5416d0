"""The door: thin commands. Parse, call one function, print; heavy imports inside.

Results go to stdout (as JSON with --json), progress and messages to stderr. A user's mistake ends with two lines
and exit code 2, Ctrl-C with 130.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from poke_bc.contract.errors import PokeBCError, UsageError
from poke_bc.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

# An OpenMP thread that waits spinning takes its core from the thread it waits for wherever cores are few or busy:
# 10x slower steps were measured with two threads beside one busy process, none with sleeping ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class _Door(TyperGroup):
    """Tells errors the way the project does: two lines and exit code 2, Ctrl-C with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PokeBCError as error:
            _exit_in_two_lines(error.what, error.hint)
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "interrupted", file=sys.stderr)
            sys.exit(130)
        except RuntimeError as error:
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            print("interrupted", file=sys.stderr)  # while a class was being made: Python 3.11 wraps it
            sys.exit(130)
        except BrokenPipeError:  # `poke-bc ... | head`: click knows what to do
            raise
        except OSError as error:  # a full disk, a folder without rights; what was being written is not half there
            _exit_in_two_lines(f"{error.filename or 'a file'}: {error.strerror or error}", "make room or rights there")


def _exit_in_two_lines(what: str, hint: str) -> NoReturn:
    for word, text in (("error", what), ("hint", hint)):
        print(f"{word}: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)


app = typer.Typer(name="poke-bc", cls=_Door, no_args_is_help=True, add_completion=False,
                  pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
                  help="From human Pokémon Showdown battles to a policy that plays like those humans.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def main() -> None:
    """Entry point of the `poke-bc` command."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"poke-bc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                          help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def convert(
    paths: Annotated[list[str], typer.Argument(help="Replays, logs, pages, Parquet, battle records (.gz, .zst), "
                                                    "folders, globs, or - for stdin.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSONL file (.zst, .gz), or - for stdout.")],
    formats: Annotated[list[str] | None, typer.Option("--format", help="Only this format; may be repeated.")] = None,
    min_rating: Annotated[int | None, typer.Option(help="Only battles whose lower rating is at least this.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Do not turn user names into hashes.")] = False,
    salt: Annotated[str | None, typer.Option(help="Of the hashes; else $POKE_BC_SALT, or one made for you.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N battles asked for.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Showdown battles -> raw trajectories of both players, nothing in them from later."""
    from pipelines.convert import convert_battles as run

    with _battles_bar(not quiet) as progress:
        done = run(paths, out, formats=formats or (), min_rating=min_rating, workers=workers, keep_names=keep_names,
                   salt=salt, limit=limit, progress=progress)
    result = done.to_dict()
    to_stdout = str(out) == "-"  # then the trajectories are there, and the summary is a message
    with contextlib.redirect_stdout(sys.stderr) if to_stdout else contextlib.nullcontext():
        if as_json:
            return _print_json(result)
        _say(f"{result['converted']:,} of {result['battles']:,} battles in {result['seconds']:.1f} s "
             f"({result['battles_per_s']:,.0f}/s) -> {out} ({result['trajectories']:,} trajectories, "
             f"{result['decisions']:,} decisions)")
        _say(f"labelled {result['labelled']:,} · censored {result['censored']:,} · without label "
             f"{result['unlabelled']:,} · exact views {result['exact_views']:,}")
        if result["left_out"]:
            _say(f"not asked for: {', '.join(f'{count:,} {reason}' for reason, count in result['left_out'].items())}")
        if result["skipped"]:
            _table(["", "battles", "for example"], [
                [reason, f"{count:,}", next(iter(result["examples"].get(reason, ())), "")]
                for reason, count in result["skipped"].items()])
        if any(reason.startswith("internal error") for reason in result["skipped"]):
            _say("internal errors are bugs of ours: please report the line above, the battle it names, and what "
                 "poke-bc info says")
        if not to_stdout:
            _say(f"next: poke-bc preprocess {out}")


@app.command()
def preprocess(
    raw: Annotated[list[str], typer.Argument(help="JSONL (.gz, .zst) or Parquet files, globs, folders, "
                                                  "or - for stdin.")],
    out: Annotated[Path, typer.Option(help="Folder for the shards.")] = Path("data/shards"),
    schema: Annotated[str, typer.Option(help="auto, basic, singles, or a TOML file.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a processor.")] = None,
    max_bad: Annotated[float, typer.Option(min=0, max=1, help="Largest share of lines that may be bad.")] = 0.001,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N trajectories.")] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="Megabytes of a full shard.")] = 256,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Raw trajectories -> columnar shards, once, offline."""
    from pipelines.preprocess import preprocess as run

    with _bytes_bar(not quiet) as progress:
        done = run(raw, out, schema=schema, workers=workers, max_bad=max_bad, limit=limit,
                   shard_bytes=shard_mb << 20, progress=progress)
    result = done.to_dict()
    if as_json:
        return _print_json(result)
    _say(f"{result['decisions']:,} decisions of {result['trajectories']:,} trajectories in {result['seconds']:.1f} s "
         f"({result['decisions_per_s']:,.0f}/s) -> {out} ({result['shards']} shards, {result['bytes'] / 1e6:.1f} MB, "
         f"{result['bytes_per_decision']:.0f} bytes a decision)")
    _say(f"schema {result['schema']} · decoder {result['decoder']} · labelled {result['labelled']:,} · "
         f"legal masks: {result['legal_masks']} · duplicates {result['duplicates']:,} · "
         f"quarantined {result['quarantined']:,}")
    counts = done.manifest.counts
    absent = len(done.manifest.schema.fields) - len(counts.present)
    if absent or counts.unknown_keys:
        _say(f"{len(counts.unknown_keys)} unknown keys left out · {absent} fields of the schema never there: "
             f"poke-bc inspect {out}")
    if done.advice:
        _say(done.advice)
    _say(f"next: poke-bc split{'' if out == Path('data/shards') else f' {out}'}")


@app.command()
def split(
    path: Annotated[Path, typer.Argument(help="Folder of shards, or a JSONL file.")] = Path("data/shards"),
    val_ratio: Annotated[float, typer.Option(help="Share of the battles for validation.")] = 0.1,
    test_ratio: Annotated[float, typer.Option(help="Share of the battles for the test.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the hash that places a battle.")] = 42,
    by: Annotated[str, typer.Option(help="battle, player or date.")] = "battle",
    as_json: Json = False,
) -> None:
    """Battles -> train, val and test; no battle in two."""
    from pipelines.split import split as run

    done = run(path, val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by)
    if as_json:
        return _print_json(done.to_dict())
    _table(["", "battles", "trajectories", "decisions"],
           [[part, *(f"{count:,}" for count in counts.values())] for part, counts in done.counts.items()])
    if done.unreadable:
        _say(f"{done.unreadable:,} lines are no trajectories and went nowhere")
    _say(f"wrote {', '.join(map(str, done.files))}")


@app.command()
def train(
    shards: Annotated[Path | None, typer.Option(help="Folder of shards.  [default: data/shards]")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/bc]")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML with any setting; flags win.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped, exactly.")] = False,
    policy: Annotated[str | None, typer.Option(help="Which network.  [default: mlp]")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training part.  [default: 10]")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Decisions an update.  [default: 1024]")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate.  [default: 0.002]")] = None,
    label_smoothing: Annotated[float | None, typer.Option(
        help="Share spread over legal actions.  [default: 0.1]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout.  [default: 42]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.  [default: auto]")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after N evaluations without a better one.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between further checkpoints.")] = None,
    keep: Annotated[int | None, typer.Option(help="Newest checkpoints to keep.  [default: 3]")] = None,
    wandb: Annotated[bool | None, typer.Option("--wandb/--no-wandb", help="Also log to Weights & Biases.")] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard/--no-tensorboard",
                                                     help="Also write TensorBoard files.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Shards -> a policy. All settings: docs/settings.md, or any config.toml of a run."""
    from poke_bc.train import resolve
    from poke_bc.train import train as start

    flags = {"shards": shards, "run": run, "policy": policy, "epochs": epochs, "steps": steps, "batch_size": batch_size,
             "lr": lr, "label_smoothing": label_smoothing, "seed": seed, "device": device, "patience": patience,
             "save_every": save_every, "keep": keep, "wandb": wandb, "tensorboard": tensorboard}
    result = start(resolve(flags, config, resume=resume), resume=resume, progress=not quiet).to_dict()
    if as_json:
        return _print_json(result)
    _say(f"{result['steps']:,} steps, {result['samples']:,} samples in {result['seconds']:.1f} s "
         f"({result['samples_per_s']:,.0f}/s in {result['precision']}, "
         f"{result['input_wait_fraction']:.1%} waiting for input)")
    if result["val"]:
        val = result["val"]
        _say(f"best on val: NLL {val['nll']:.4f} · top-1 {val['top1']:.1%} · top-3 {val['top3']:.1%} · "
             f"ECE {val['ece']:.1%} over {val['decisions']:,} decisions")
    _say(f"next: poke-bc evaluate {result['run']}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run, checkpoint or policy folder.")],
    shards: Annotated[Path | None, typer.Option(help="Other shards than the run was trained on.")] = None,
    split: Annotated[str, typer.Option(help="val, test or train.")] = "val",
    checkpoint: Annotated[str, typer.Option(help="best, last, or step-00000500.")] = "best",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    as_json: Json = False,
) -> None:
    """How good a policy is, next to what one knows without learning."""
    from poke_bc.evaluate import evaluate as judge
    from poke_bc.evaluate import render

    result = judge(run, shards, split, device=device, checkpoint=checkpoint)
    if as_json:
        return _print_json(result)
    _show(render(result))


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A raw file, shards, or a run.")] = Path("data/shards"),
    schema: Annotated[str, typer.Option(help="For raw files: auto, basic, singles, or a TOML file.")] = "auto",
    leaks: Annotated[bool, typer.Option("--leaks", help="Of singles shards: do the own move slots betray which moves "
                                                        "are used later?")] = False,
    against: Annotated[Path | None, typer.Option(help="With --leaks: shards to compare with, best of the same battles "
                                                      "converted with requests.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What is in it: counts, ranges, dead fields, labels, and what is odd."""
    if leaks:
        return _inspect_leaks(path, against, as_json)
    if against is not None:
        raise UsageError("--against compares leaks, and nothing else", hint=f"--leaks --against {against}")
    from poke_bc.inspect import inspect as look
    from poke_bc.inspect import render

    with _bytes_bar(not quiet) as progress:
        found = look(path, schema=schema, progress=progress)
    if as_json:
        return _print_json(found.to_dict())
    _show(render(found))


def _inspect_leaks(path: Path, against: Path | None, as_json: bool) -> None:
    from poke_bc.leaks import check_leaks, render

    report = check_leaks(path, against)
    if as_json:
        return _print_json(report.to_dict())
    _show(render(report))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="Shards or a run.")] = Path("data/shards"),
    as_json: Json = False,
) -> None:
    """Hash every file and name what differs; exit code 2 if something does."""
    from poke_bc.contract.errors import ShardError
    from poke_bc.verify import verify as check

    found = check(path)
    if as_json:
        _print_json(found.to_dict())
    else:
        for difference in found.differences:
            _say(difference)
        for leftover in found.leftovers:
            _say(f"{leftover}: not part of it (harmless)")
    if found.differences:
        raise ShardError(f"{path}: {len(found.differences)} of {found.files} files are not what was written",
                         hint="make them again, or copy them again from where they are whole")
    if not as_json:
        _say(f"{path}: all {found.files} files ({found.bytes / 1e6:,.1f} MB) are what was written")


@app.command()
def info(as_json: Json = False) -> None:
    """Versions and devices, for a bug report."""
    from poke_bc.info import info as gather

    facts = gather()
    if as_json:
        return _print_json(facts)
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item or '-'}" for key, item in value.items())
        _say(f"{name:<11} {', '.join(value) if isinstance(value, list) else value}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _say(line: str) -> None:
    print(line)


def _show(renderable: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    # A file or a pipe has no width: do not fold tables at 80 columns there.
    Console(width=None if console.is_terminal else 120).print(renderable)


def _table(heads: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for head in heads:
        table.add_column(head, justify="right" if head else "left")
    for row in rows:
        table.add_row(*row)
    _show(table)


@contextmanager
def _bytes_bar(shown: bool) -> Iterator[Any]:
    """A progress bar on stderr for `preprocess`: share, rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                  TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=console, transient=True,
                  disable=not shown or not console.is_terminal) as bar:
        task = bar.add_task("reading", rate="", total=None)

        def tell(stage: str, done: int, total: int | None, decisions: int) -> None:
            speed = bar.tasks[0].speed
            unit = f"{speed / 1e6:,.0f} MB/s · " if speed and stage == "reading" else ""
            bar.update(task, description=stage, completed=done, total=total, rate=f"{unit}{decisions:,} decisions")

        yield tell


@contextmanager
def _battles_bar(shown: bool) -> Iterator[Any]:
    """A progress bar on stderr for `convert`: share, battles, rate and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                  TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=console, transient=True,
                  disable=not shown or not console.is_terminal) as bar:
        task = bar.add_task("looking", rate="", total=None)
        started = {"looking": time.monotonic()}

        def tell(stage: str, done: int, total: int, battles: int) -> None:
            seconds = time.monotonic() - started.setdefault(stage, time.monotonic())
            speed = f"{battles / seconds:,.0f}/s" if seconds > 1 else ""
            bar.update(task, description=stage, completed=done, total=total, rate=f"{battles:,} battles {speed}")

        yield tell


if __name__ == "__main__":
    main()
