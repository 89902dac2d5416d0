"""Commands that hand a policy on: export, push."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poke_bc.cli.output import Json, print_json

Run = Annotated[Path, typer.Argument(help="Folder of a run, a checkpoint or a policy, or hub:NAME.")]
Checkpoint = Annotated[str, typer.Option(help="best, last, or a name such as step-00000500.")]


class Format(StrEnum):
    """What a policy can be exported to."""

    onnx = "onnx"


def export(
    run: Run,
    to: Annotated[Format, typer.Option(help="The format.")] = Format.onnx,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("policy.onnx"),
    checkpoint: Checkpoint = "best",
    as_json: Json = False,
) -> None:
    """Write a policy as one file that needs neither poke-bc nor torch, and check that it computes the same."""
    from poke_bc.policy.export import export_onnx

    done = export_onnx(run, out, checkpoint=checkpoint)
    if as_json:
        return print_json(asdict(done))
    print(f"{out}: {done.bytes / 1e6:.1f} MB; at most {done.difference:.1g} from the policy's own output "
          f"for {done.rows} random decisions")
    for kind, shapes in (("reads", done.inputs), ("gives", done.outputs)):
        print(f"{kind} " + ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in shapes.items()))


def push(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="HUB/NAME", help="Repository on the Hugging Face Hub.")],
    checkpoint: Checkpoint = "best",
    private: Annotated[bool, typer.Option("--private", help="Where the repository is new, create it private.")] = False,
    as_json: Json = False,
) -> None:
    """Upload a policy with its model card to the Hugging Face Hub; the way back is hub:HUB/NAME in place of a run."""
    from poke_bc.policy import push_policy

    done = push_policy(run, name, checkpoint=checkpoint, private=private)
    if as_json:
        return print_json(asdict(done))
    print(f"{done.url}\nnext: poke-bc evaluate {done.name} --shards data/shards")
