"""The processes of one training, which torchrun starts: who takes which rows, and what they tell each other.

Every process is a rank with all the weights. It computes the gradient of its slice of each batch; the sums over all
ranks are the gradient of the batch, so all take the same step, and nothing of a run depends on how many they are but
rounding and dropout. Rank 0 alone reads and writes the run and speaks to the user; the others wait for it, however long
it takes. Where one ends, the others notice at once and end too (docs/decisions/0017-ranks-add-up.md).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from poke_bc.contract.errors import TrainingError

T = TypeVar("T")
_FOREVER = timedelta(days=3650)  # rank 0 may evaluate and write for hours; who dies is noticed by its connection


class Ranks:
    """The processes of a training, as one of them sees them; a process alone has nothing to wait for.

    Args:
        rank, size: of all processes.
        local_rank, local_size: of those on this machine.
        restarts: how often torchrun has started all of them again.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1,
                 restarts: int = 0) -> None:
        self.rank, self.size, self.local_rank, self.local_size = rank, size, local_rank, local_size
        self.restarts = restarts
        self.lost = False
        """Whether another process has ended."""
        self._flat: Tensor | None = None
        self._asked: tuple[Tensor, dist.Work] | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process reads and writes the run, and speaks to the user."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.size > 1:
            with self._connected():
                dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter], further: Tensor) -> Tensor:
        """Replace the gradients by their sums over all ranks; returns those of `further`, of the same dtype.

        All travel as one tensor: a network's many small ones would each cost a round trip.
        """
        if self.size == 1:
            return further
        learned = [weight for weight in parameters if weight.grad is not None]
        parts = [weight.grad.flatten() for weight in learned if weight.grad is not None] + [further]
        size = sum(map(Tensor.numel, parts))
        if self._flat is None or self._flat.numel() != size:
            self._flat = parts[0].new_empty(size)
        sums = self.sum(torch.cat(parts, out=self._flat)).split_with_sizes([part.numel() for part in parts])
        for weight, total in zip(learned, sums, strict=False):
            weight.grad = total.view_as(weight)
        return sums[-1].clone()

    def share(self, value: T) -> T:
        """Rank 0's value."""
        if self.size == 1:
            return value
        box = [value if self.is_first else None]
        with self._connected():
            dist.broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]

    def receive(self) -> Any:
        """What rank 0 shares next."""
        return self.share(None)

    def share_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by rank 0's."""
        if self.size > 1:
            with self._connected():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank; only rank 0 gets them, the others get none."""
        if self.size == 1:
            return [value]
        boxes: list[T | None] | None = [None] * self.size if self.is_first else None
        with self._connected():
            dist.gather_object(value, boxes)
        return boxes or []  # type: ignore[return-value]

    def agreed(self, here: int) -> int:
        """The largest number that any rank gave *at the call before*: so nobody waits for it, and all get the same."""
        if self.size == 1:
            return here
        with self._connected():
            asked, told = self._asked, torch.tensor(int(here))
            work = dist.all_reduce(told, dist.ReduceOp.MAX, async_op=True)
            assert work is not None
            self._asked = told, work
            if asked is None:
                return 0
            asked[1].wait()
            return int(asked[0])

    def wait_for_the_end(self) -> None:
        """Wait until rank 0 has ended: torchrun ends the others, in the middle of a word, as soon as one is gone."""
        if not self.lost:
            with contextlib.suppress(TrainingError):
                self.sum(torch.zeros(()))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Context in which a broken connection means that another process has ended."""
        try:
            yield
        except RuntimeError as error:
            self.lost = True
            why = re.sub(r"^\[[^]]*\] ", "", str(error)).partition(". ")[0].partition("\n")[0]
            raise TrainingError(f"another process of this training has ended ({why})",
                                hint="see its error; --resume continues from the last checkpoint, and torchrun "
                                     "--max-restarts N does so by itself") from error


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Context with the ranks that torchrun started, connected; outside torchrun, with this process alone.

    What ends all ranks (a loss that is not finite, Ctrl-C, another rank's end) is raised on rank 0 alone. The others
    end silently, with its exit code.

    Args:
        device: of the configuration.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    ranks = Ranks(*(int(os.environ[name]) for name in (
        "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")))
    _share_cores(ranks)
    if ranks.size > 1:
        with _ended_by_signals():
            _connect(ranks, on_gpu=device != "cpu" and torch.cuda.is_available())
    try:
        yield ranks
    except (TrainingError, KeyboardInterrupt) as error:
        if ranks.is_first:
            raise
        if type(error) is not KeyboardInterrupt:  # which is this rank's own
            ranks.wait_for_the_end()
        raise SystemExit(getattr(error, "exit_code", 130)) from error
    finally:
        if ranks.size > 1 and not ranks.lost:
            dist.destroy_process_group()


def _connect(ranks: Ranks, *, on_gpu: bool) -> None:
    """Connect the processes, by gloo on the host and NCCL between GPUs.

    They find each other through torchrun's store, which lives as long as torchrun does: without a name of their own
    there, processes that were started again would find the addresses of those before them, and wait for the dead.
    """
    store, rank, size = next(dist.rendezvous("env://", timeout=_FOREVER))  # type: ignore[attr-defined]
    own = dist.PrefixStore(f"poke-bc {ranks.restarts} {size}", store)  # type: ignore[attr-defined]
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", rank=rank, world_size=size, timeout=_FOREVER,
                            store=own)


def is_first() -> bool:
    """Whether this process is the one that prints: the first of those that torchrun started, or alone."""
    return not dist.is_torchelastic_launched() or os.environ["RANK"] == "0"


def launch() -> str:
    """Names the torchrun that started this process, the same after its restarts; "" without one."""
    run_id = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if run_id != "none":
        return run_id
    agent, started = os.getppid(), ""
    with contextlib.suppress(OSError):  # when it was started: numbers of processes come again
        started = Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{socket.gethostname()} {agent} {started}"


def _share_cores(ranks: Ranks) -> None:
    """Give each process of this machine as many threads as it has cores for, unless OMP_NUM_THREADS is set."""
    if ranks.local_size > 1 and not _threads_are_set():
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // ranks.local_size))


def _threads_are_set() -> bool:
    """Whether the user set OMP_NUM_THREADS. Where nobody did, torchrun sets it to 1 for the processes it starts."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        return "OMP_NUM_THREADS" in os.environ
    with contextlib.suppress(OSError):
        return b"OMP_NUM_THREADS=1" in Path(f"/proc/{os.getppid()}/environ").read_bytes().split(b"\0")
    return False


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Context in which Ctrl-C and SIGTERM end the process: Python's handlers wait for a call that waits for others."""
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, signal.SIG_DFL)
              for number in ((signal.SIGINT, signal.SIGTERM) if here else ())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


