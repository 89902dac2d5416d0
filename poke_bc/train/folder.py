"""The folder of a run: whether it may be used, and by one process at a time.

Nothing is overwritten or removed in it but what a run made: its config.toml begins with a line that says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from poke_bc.contract.errors import RunError, UsageError
from poke_bc.contract.files import exclusively
from poke_bc.train.checkpoint import BEST, FOLDER, LAST, Checkpoints, writing
from poke_bc.train.config import CONFIG_FILE, is_ours
from poke_bc.train.result import RESULT_FILE
from poke_bc.train.trackers import METRICS_FILE, WANDB_FILE

LOCK, LAUNCH = ".lock", ".launch"
_WRITTEN = (CONFIG_FILE, METRICS_FILE, RESULT_FILE, LAST, BEST, WANDB_FILE)


def check_folder(checkpoints: Checkpoints, *, resume: bool) -> None:
    """Raises UsageError if a new run would overwrite something in its folder, or there is none to resume."""
    run = checkpoints.run
    if resume:
        if not (run / CONFIG_FILE).is_file():
            raise UsageError(f"{run}: no run to resume", hint="leave out --resume to start one")
        return
    if checkpoints.any():
        raise UsageError(f"{run}: already contains a run",
                         hint="continue it with --resume, or choose another folder with --run")
    if not is_ours(run) and (foreign := [name for name in _WRITTEN if (run / name).exists()]):
        raise UsageError(f"{run / foreign[0]}: is there already, and not written by a run",
                         hint="choose another folder with --run")


def is_of_launch(run: Path, launch: str) -> bool:
    """Whether the torchrun of that name has trained this run: when it starts its processes again, they go on."""
    path = run / LAUNCH
    return bool(launch) and path.is_file() and path.read_text("utf-8", "replace") == launch


def note_launch(run: Path, launch: str) -> None:
    """Record which torchrun trains this run; "": none."""
    if launch:
        (run / LAUNCH).write_text(launch, "utf-8")
    else:
        (run / LAUNCH).unlink(missing_ok=True)


def clear(run: Path) -> None:
    """Remove what a run that never reached a checkpoint has left, and make the folders of a new one."""
    for name in (RESULT_FILE, METRICS_FILE, WANDB_FILE):
        (run / name).unlink(missing_ok=True)
    (run / FOLDER).mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def working_alone(run: Path) -> Iterator[None]:
    """Keep other training processes from writing to this run. Raises RunError while another one does.

    If the block fails, folders that were made for the lock are removed again, unless something is in them by then:
    perhaps another run.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    busy = RunError(f"{run}: another training process is writing to it", hint="wait for it, or choose another --run")
    with contextlib.ExitStack() as held:
        with writing(run):
            run.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusively(run / LOCK, busy))
        try:
            yield
        except BaseException:
            (run / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                for folder in made:
                    folder.rmdir()
            raise
        (run / LOCK).unlink(missing_ok=True)
