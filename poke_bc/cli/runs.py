"""Commands about runs: train, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poke_bc.cli.output import Json, Quiet, open_page, print_json, progress_bar, show


def train(
    shards: Annotated[Path | None, typer.Option(help="Folder of shards.  [default: data/shards]")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder for the run.  [default: runs/bc]")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any settings; flags take precedence.")] = None,
    assignments: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Any setting, such as policy.width=384; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Continue an interrupted run exactly, or with --epochs a finished one for longer.")] = False,
    init_from: Annotated[Path | None, typer.Option(
        help="Run, checkpoint or policy whose weights to start from.")] = None,
    policy: Annotated[str | None, typer.Option(
        help="The network: entity (the default), history, mlp, or package.module:Class for your own.")] = None,
    where: Annotated[str | None, typer.Option(metavar="CONDITION", help="Learn only from trajectories for which this "
                                              "holds, such as \"rating >= 1500 and format == 'gen9ou'\"; validation "
                                              "stays as split.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training split.  [default: 6]")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of updates, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Decisions per update.  [default: 512]")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.  [default: 0.0015]")] = None,
    label_smoothing: Annotated[float | None, typer.Option(
        help="Fraction of the target spread over the legal actions.  [default: 0.0]")] = None,
    seed: Annotated[int | None, typer.Option(
        help="Seed of the weights, the order of samples and dropout.  [default: 42]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.  [default: auto]")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after N evaluations without improvement.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between additional checkpoints.")] = None,
    keep: Annotated[int | None, typer.Option(help="Number of latest checkpoints to keep.  [default: 3]")] = None,
    wandb: Annotated[bool | None, typer.Option("--wandb/--no-wandb", help="Also log to Weights & Biases.")] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard/--no-tensorboard",
                                                     help="Also write TensorBoard files.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a policy on shards. All settings are in docs/settings.md."""
    from poke_bc.train import resolve
    from poke_bc.train import train as start
    from poke_bc.train.ranks import is_first

    flags = {"shards": shards, "run": run, "init_from": init_from, "policy": policy, "where": where, "epochs": epochs,
             "steps": steps, "batch_size": batch_size, "lr": lr, "label_smoothing": label_smoothing, "seed": seed,
             "device": device, "patience": patience, "save_every": save_every, "keep": keep, "wandb": wandb,
             "tensorboard": tensorboard}
    settings = resolve(flags, config, assignments=assignments or (), resume=resume)
    chosen = None
    if settings.where:
        from pipelines.split import chosen_trajectories

        chosen = chosen_trajectories(settings.shards, settings.where)
    result = start(settings, resume=resume, progress=not quiet, chosen=chosen).to_dict()
    if not is_first():
        return
    if as_json:
        return print_json(result)
    print(f"{result['steps']:,} steps, {result['samples']:,} samples in {result['seconds']:.1f} s with evaluations "
          f"(without: {result['samples_per_s']:,.0f} samples/s in {result['precision']}, "
          f"{result['input_wait_fraction']:.1%} waiting for input)")
    if result["val"]:
        val = result["val"]
        print(f"best on val: NLL {val['nll']:.4f} · top-1 {val['top1']:.1%} · top-3 {val['top3']:.1%} · "
             f"ECE {val['ece']:.1%} over {val['decisions']:,} decisions")
    print(f"next: poke-bc evaluate {result['run']}")


def evaluate(
    runs: Annotated[list[Path], typer.Argument(
        metavar="RUN...", help="Folder of a run, a checkpoint or a policy; several are compared with the first.")],
    shards: Annotated[Path | None, typer.Option(
        help="Shards to evaluate on.  [default: those it was trained on]")] = None,
    split: Annotated[str, typer.Option(help="val, test or train; or all, for shards it was not trained on.")] = "val",
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step-00000500.")] = "best",
    slices: Annotated[list[str] | None, typer.Option(
        metavar="KINDS", help="Also show slices: all, or kinds such as kind,turn,rating.")] = None,
    leaks: Annotated[bool, typer.Option(
        "--leaks", help="Also run the leak check on the same decisions (val or test).")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a policy on held-out decisions beside no-learning baselines, or compare several on the same ones."""
    from poke_bc.evaluate import compare, kinds_of_slices, render, render_comparison
    from poke_bc.evaluate import evaluate as score

    kinds = kinds_of_slices(",".join(slices or ()))
    if len(runs) > 1:
        found = compare(runs, shards, split, device=device, checkpoint=checkpoint, leaks=leaks)
        return print_json(found) if as_json else show(render_comparison(found, kinds))
    result = score(runs[0], shards, split, device=device, checkpoint=checkpoint, leaks=leaks)
    print_json(result) if as_json else show(render(result, kinds))


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, checkpoints or policies.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
    shards: Annotated[Path | None, typer.Option(
        help="Shards to evaluate on.  [default: those each run was trained on]")] = None,
    split: Annotated[str, typer.Option(
        help="val, test or train; or all, for shards they were not trained on.")] = "val",
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step-00000500.")] = "best",
    battles: Annotated[int | None, typer.Option(
        min=1, help="Maximum of battles to browse.  [default: as many as fit into 6 MB]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    show_it: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page about runs: figures, data, and a browser of battles; it needs no network."""
    from poke_bc.report import report as write

    with progress_bar("", quiet=quiet) as progress:
        written = write(runs, out, shards, split, checkpoint=checkpoint, battles=battles, device=device,
                        progress=lambda stage: progress(stage, 0, None, 0))
    if show_it:
        open_page(out)
    if as_json:
        from dataclasses import asdict

        return print_json(asdict(written))
    sample = "" if written.battles == written.of else f" of {written.of:,}"
    print(f"{out}: {written.bytes / 1e6:.1f} MB, {written.battles:,}{sample} battles with {written.decisions:,} "
          "decisions; open it in a web browser")
