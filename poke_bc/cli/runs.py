"""Commands about runs: train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poke_bc.cli.output import Json, Quiet, print_json, show


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
        return print_json(result)
    print(f"{result['steps']:,} steps, {result['samples']:,} samples in {result['seconds']:.1f} s "
         f"({result['samples_per_s']:,.0f}/s in {result['precision']}, "
         f"{result['input_wait_fraction']:.1%} waiting for input)")
    if result["val"]:
        val = result["val"]
        print(f"best on val: NLL {val['nll']:.4f} · top-1 {val['top1']:.1%} · top-3 {val['top3']:.1%} · "
             f"ECE {val['ece']:.1%} over {val['decisions']:,} decisions")
    print(f"next: poke-bc evaluate {result['run']}")


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
        return print_json(result)
    show(render(result))
