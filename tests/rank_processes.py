"""Trainings on several ranks, without torchrun: processes that have its variables, forked from one that has torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import poke_bc.train.loss as loss_module
import poke_bc.train.step as step_module
from poke_bc.contract.errors import ShardError
from poke_bc.train import TrainConfig, train

_SECONDS = 300


@dataclass
class Trained:
    """What one rank saw and became."""

    samples: list[list[float]] = field(default_factory=list)
    """Of each step: a number for each row of this rank."""
    gradients: list[np.ndarray[Any, Any]] = field(default_factory=list)
    """Of each step, clipped."""
    weights: list[np.ndarray[Any, Any]] = field(default_factory=list)
    error: str = ""
    """Class and text of what `train` raised."""
    result: dict[str, Any] = field(default_factory=dict)


def trained(config: TrainConfig, resume: bool = False, stop: tuple[int, int] | None = None,
            before_step: Callable[[int, int], None] | None = None) -> Trained:
    """Train in this process, as the rank that its environment says.

    Args:
        config, resume: as for `train`.
        stop: rank and step at which a SIGTERM arrives.
        before_step: called with rank and step, from 1.
    """
    seen, original, rank = Trained(), step_module.train_step, int(os.environ.get("RANK", "0"))

    def watched(policy: Any, optimizer: Any, batch: Any, *arguments: Any, **keywords: Any) -> torch.Tensor:
        rows = batch.at(0) if batch.steps is not None else batch
        seen.samples.append(rows.number.double().sum(dim=1).tolist())
        if (rank, len(seen.samples)) == stop:
            signal.raise_signal(signal.SIGTERM)
        if before_step:
            before_step(rank, len(seen.samples))
        sums = original(policy, optimizer, batch, *arguments, **keywords)
        seen.weights = [weight.detach().numpy().copy() for weight in policy.parameters()]
        return sums

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parts = [weight.grad.flatten() for group in optimizer.param_groups for weight in group["params"]
                 if weight.grad is not None]
        seen.gradients.append(torch.cat(parts).numpy().copy())

    hook = register_optimizer_step_pre_hook(note)
    try:
        with mock.patch.object(step_module, "train_step", watched):
            seen.result = train(config, resume=resume, progress=False).to_dict()
    except BaseException as error:  # SystemExit and KeyboardInterrupt too
        seen.error = f"{type(error).__name__}: {error}"
    finally:
        hook.remove()
    return seen


def first_numbers_drawn(config: TrainConfig) -> list[float]:
    drawn: list[float] = []
    trained(config, False, None, lambda rank, step: drawn.extend(torch.rand(4).tolist()) if step == 1 else None)
    return drawn


def fail(rank: int, step: int) -> None:
    if (rank, step) == (1, 4):
        raise ShardError("a shard is gone", hint="none")


def spoil(rank: int, step: int) -> None:
    if (rank, step) == (1, 4):
        original = loss_module.imitation_loss
        loss_module.imitation_loss = lambda *given, **more: (  # type: ignore[assignment]
            lambda found: found._replace(total=found.total * float("nan")))(original(*given, **more))


def on_ranks(size: int, job: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `job(*arguments)` returns on each of so many ranks. Raises AssertionError if one ends without an answer."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["poke_bc.train"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes, answers = [], []
    for rank in range(size):
        answer, its_end = context.Pipe(duplex=False)
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size,
                     "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none",
                     "TORCHELASTIC_RESTART_COUNT": 0}
        processes.append(context.Process(target=_answer, args=(its_end, variables, job, arguments), daemon=True))
        processes[-1].start()
        its_end.close()
        answers.append(answer)
    try:
        return [_received(answer, rank) for rank, answer in enumerate(answers)]
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def _received(answer: Connection, rank: int) -> Any:
    assert answer.poll(_SECONDS), f"no answer from rank {rank}"
    try:
        return answer.recv()
    except EOFError:
        raise AssertionError(f"rank {rank} ended without an answer") from None


def _answer(answer: Connection, variables: dict[str, object], job: Callable[..., Any],
            arguments: Sequence[Any]) -> None:
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.set_num_threads(1)
    answer.send(job(*arguments))


if __name__ == "__main__":  # as torchrun starts it: FOLDER DEATHS ARGUMENTS of poke-bc
    from poke_bc.cli import main

    folder, deaths = Path(sys.argv[1]), sys.argv[2].split(",")
    rank, restart = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
    original, steps = step_module.train_step, 0

    def noted(policy: Any, optimizer: Any, batch: Any, *arguments: Any, **keywords: Any) -> torch.Tensor:
        """A step whose samples are noted. "0:1:3" in DEATHS: before the third, rank 1 is killed, until restarted."""
        global steps
        steps += 1
        if f"{restart}:{rank}:{steps}" in deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(folder / f"restart-{restart}-rank-{rank}", "a", encoding="utf-8") as file:
            file.write(" ".join(map(str, batch.number.double().sum(dim=1).tolist())) + "\n")
        return original(policy, optimizer, batch, *arguments, **keywords)

    step_module.train_step = noted
    sys.argv[1:] = sys.argv[3:]
    main()
