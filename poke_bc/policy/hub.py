"""Policies on the Hugging Face Hub: `push`, and `hub:NAME` or `hub:NAME@REVISION` wherever a policy is loaded from.

Only the files of a policy folder travel. They are data; a policy that names a network of your own imports that module,
which has to be installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import InputError, UsageError

PREFIX = "hub:"


@dataclass(frozen=True)
class Pushed:
    """Where a policy went."""

    name: str
    """What `load_policy` takes: hub:NAME@REVISION."""
    url: str
    """The page of the commit."""


def is_on_hub(path: str | Path) -> bool:
    """Whether it names a policy on the Hub."""
    return str(path).startswith(PREFIX)


def upload(folder: Path, name: str, files: tuple[str, ...], *, private: bool = False) -> Pushed:
    """Upload files of a policy folder as one commit, to a repository that is created if needed.

    Args:
        folder: the policy's own folder.
        name: such as "somebody/singles".
        files: those to upload; others in the repository stay.
        private: whether a repository that is created is private.

    Raises UsageError without huggingface_hub, InputError where the Hub refuses or cannot be reached.
    """
    name = name.removeprefix(PREFIX)
    hub = _package()
    with _asking(hub, name):
        api = hub.HfApi(library_name="poke-bc")
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(files),
                                   commit_message="Policy of poke-bc")
    return Pushed(f"{PREFIX}{name}@{commit.oid}", str(commit.commit_url))


def download(path: str | Path, files: tuple[str, ...]) -> Path:
    """The folder in the Hub's cache that holds these files of `hub:NAME` or `hub:NAME@REVISION`.

    Raises what `upload` raises.
    """
    name, _, revision = Path(path).as_posix().removeprefix(PREFIX).partition("@")
    hub = _package()
    with _asking(hub, name):
        return Path(hub.snapshot_download(name, revision=revision or None, allow_patterns=list(files),
                                          library_name="poke-bc"))


def _package() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise UsageError("the Hugging Face Hub needs huggingface_hub, which is not installed",
                         hint="pip install 'poke-bc[hub]'") from None
    return huggingface_hub


@contextmanager
def _asking(hub: Any, name: str) -> Iterator[None]:
    """Progress on a terminal alone, and errors of the Hub as errors that say what to do."""
    hide = not hub.utils.are_progress_bars_disabled() and not (sys.stderr and sys.stderr.isatty())
    if hide:
        hub.utils.disable_progress_bars()
    try:
        yield
    except hub.errors.HFValidationError as error:
        raise UsageError(f"{PREFIX}{name}: not a name on the Hub ({_first_line(error)})",
                         hint="such as somebody/singles, or hub:somebody/singles@REVISION to load it") from None
    except (OSError, *hub.errors.HfHubHTTPError.__bases__) as error:  # its HTTP library differs between versions
        raise InputError(f"{PREFIX}{name}: {_first_line(error)}",
                         hint="check the name and the connection; to write, or to read what is private: hf auth login"
                         ) from None
    finally:
        if hide:
            hub.utils.enable_progress_bars()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
