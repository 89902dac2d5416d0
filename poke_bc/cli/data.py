"""Commands that make data: convert, preprocess, split."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from poke_bc.cli.output import SHARDS, Json, Quiet, print_json, progress_bar, seconds, show_table

Workers = Annotated[int | None, typer.Option(min=1, help="Number of processes; by default one per CPU.")]
Engine = Annotated[str, typer.Option(help="What runs the work: local or dask.")]
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster, such as "
                                               "tcp://10.0.0.1:8786; by default Dask starts processes here.")]
Work = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where an output with a URL is built before it is "
                                           "uploaded; by default in the user's cache.")]


def convert(
    paths: Annotated[list[str], typer.Argument(help="Replays, logs, HTML pages, Parquet files, battle records, or "
                                                    "archives of them (also .gz, .zst); files, folders, globs, URLs, "
                                                    "or - for stdin.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="PATH",
                                     help="JSONL file to write (also .zst, .gz), its URL, or - for stdout.")],
    formats: Annotated[list[str] | None, typer.Option("--format", help="Only this format; repeatable.")] = None,
    min_rating: Annotated[int | None, typer.Option(help="Only battles in which both players have at least this "
                                                        "rating.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Only battles from this day, month or year on, such "
                                                                   "as 2024-05.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Only battles up to this day, month or "
                                                                   "year.")] = None,
    players: Annotated[list[str] | None, typer.Option("--player", metavar="NAME",
                                                      help="Only battles of this player; repeatable.")] = None,
    winner: Annotated[str | None, typer.Option(metavar="NAME", help="Only battles that this player won.")] = None,
    workers: Workers = None,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Keep user names instead of replacing them with "
                                                                  "pseudonyms.")] = False,
    salt: Annotated[str | None, typer.Option(help="Secret that pseudonyms depend on; by default $POKE_BC_SALT, or a "
                                                  "random one that is stored for the next run.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N battles that match.")] = None,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    work: Work = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert Showdown battles to raw trajectories: both players' views, without hindsight."""
    from pipelines.convert import convert_battles

    to_stdout = out == "-"
    if to_stdout:  # which then carries the trajectories, and whatever is printed goes to stderr
        sys.stdout = sys.stderr
    with progress_bar("battles", quiet=quiet) as progress:
        result = convert_battles(
            paths, out, formats=formats or (), min_rating=min_rating, since=since, until=until, players=players or (),
            winner=winner, workers=workers, keep_names=keep_names, salt=salt, limit=limit, engine=engine,
            scheduler=scheduler, work=work, progress=progress).to_dict()
    if as_json:
        return print_json(result)
    print(f"{result['converted']:,} of {result['battles']:,} battles in {seconds(result['seconds'])} "
          f"({result['battles_per_s']:,.0f}/s) -> {out} ({result['trajectories']:,} trajectories, "
          f"{result['decisions']:,} decisions)")
    print(f"labelled {result['labelled']:,} · censored {result['censored']:,} · unlabelled "
          f"{result['unlabelled']:,} · exact views {result['exact_views']:,}")
    if result["kept"] or result["refilled"]:
        again = f"; {result['refilled']:,} converted again, since others fill their gaps now" * (result["refilled"] > 0)
        print(f"kept {result['kept']:,} battles of the output that was there{again}")
    if result["all_again"]:
        print(f"nothing of the output that was there could be kept: {result['all_again']}")
    if result["joined"]:
        print(f"joined: {result['joined']:,} records of battles whose other player's record is there too")
    if result["passed_over"]:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in result["passed_over"].items())
        print(f"passed over: {sum(result['passed_over'].values()):,} lines of kinds not known yet ({kinds})")
    if result["left_out"]:
        print(f"left out: {', '.join(f'{count:,} {reason}' for reason, count in result['left_out'].items())}")
    if result["skipped"]:
        show_table(["skipped because", "battles", "example"], [
            [reason, f"{count:,}", next(iter(result["examples"].get(reason, ())), "")]
            for reason, count in result["skipped"].items()])
    if any(reason.startswith("internal error") for reason in result["skipped"]):
        print("internal errors are bugs in poke-bc: please report the line above, the battle it names, and the "
              "output of poke-bc info")
    if not to_stdout:
        print(f"next: poke-bc preprocess {out}")


def preprocess(
    raw: Annotated[list[str], typer.Argument(help="JSONL (also .gz, .zst) or Parquet; files, folders, globs, URLs, or "
                                                  "- for stdin.")],
    out: Annotated[str, typer.Option(metavar="PATH", help="Folder to write the shards to, or its URL.")] = str(SHARDS),
    schema: Annotated[str, typer.Option(help="auto, basic, singles, or a TOML file.")] = "auto",
    workers: Workers = None,
    max_bad: Annotated[float, typer.Option(min=0, max=1, help="Maximum fraction of invalid lines.")] = 0.001,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N trajectories.")] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="Size of a full shard in MiB.")] = 256,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    work: Work = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn raw trajectories into columnar shards for training."""
    from pipelines.preprocess import preprocess as run

    with progress_bar("decisions", quiet=quiet) as progress:
        done = run(raw, out, schema=schema, workers=workers, max_bad=max_bad, limit=limit, shard_bytes=shard_mb << 20,
                   engine=engine, scheduler=scheduler, work=work, progress=progress)
    result = done.to_dict()
    if as_json:
        return print_json(result)
    shards = f"{result['shards']} shard{'s' if result['shards'] != 1 else ''}"
    print(f"{result['decisions']:,} decisions of {result['trajectories']:,} trajectories in "
          f"{seconds(result['seconds'])} ({result['decisions_per_s']:,.0f}/s) -> {out} ({shards}, "
          f"{result['bytes'] / 1e6:.1f} MB, {result['bytes_per_decision']:.0f} bytes per decision)")
    print(f"schema {result['schema']} · labelled {result['labelled']:,} · legal masks: {result['legal_masks']} · "
          f"duplicates {result['duplicates']:,} · quarantined {result['quarantined']:,} · decoder: {result['decoder']}")
    if done.kept:
        print(f"kept {done.kept:,} decisions of the data set that was there, and left {done.shards_untouched:,} of its "
              "shards as they are")
    if done.all_again:
        print(f"nothing of the data set that was there could be kept: {done.all_again}")
    counts = done.manifest.counts
    absent = len(done.manifest.schema.fields) - len(counts.present)
    if absent or counts.unknown_keys:
        print(f"{len(counts.unknown_keys)} unknown keys ignored · {absent} fields of the schema missing everywhere: "
              f"poke-bc inspect {out}")
    if done.advice:
        print(done.advice)
    print(f"next: poke-bc split{'' if out == str(SHARDS) else f' {out}'}")


def split(
    path: Annotated[Path, typer.Argument(help="Folder of shards, or a JSONL file.")] = SHARDS,
    val_ratio: Annotated[float | None, typer.Option(help="Fraction of the battles for val.  [default: 0.1]")] = None,
    test_ratio: Annotated[float | None, typer.Option(help="Fraction of the battles for test.  [default: 0]")] = None,
    seed: Annotated[int | None, typer.Option(
        help="Seed of the hash that assigns battles to splits.  [default: 42]")] = None,
    by: Annotated[str | None, typer.Option(help="Split by battle, player or date.  [default: battle]")] = None,
    where: Annotated[str | None, typer.Option(metavar="CONDITION", help="Only trajectories for which this holds, such "
                                       "as \"rating >= 1500 and format == 'gen9ou'\"; others are left out.")] = None,
    as_json: Json = False,
) -> None:
    """Assign battles to train, val and test; a battle never spans two splits. Without options: as the last time."""
    from pipelines.split import split as run

    done = run(path, val_ratio=val_ratio, test_ratio=test_ratio, seed=seed, by=by, where=where)
    if as_json:
        return print_json(done.to_dict())
    show_table(["split", "battles", "trajectories", "decisions"],
               [[name, *(f"{count:,}" for count in counts.values())] for name, counts in done.counts.items()])
    if done.as_before:
        print(f"as before: {done.as_before}")
    if done.unreadable:
        print(f"{done.unreadable:,} lines were skipped: not trajectories")
    print(f"wrote {', '.join(map(str, done.files))}")
