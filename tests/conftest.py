"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("poke-bc", deadline=None)  # other processes share the processor
settings.load_profile("poke-bc")

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests remember of their files is not kept, but the compiled scanner is."""
    os.environ.setdefault("NUMBA_CACHE_DIR", os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of real data outside the repository, such as "basic/trajectories.jsonl"; skips where it is not there."""
    def find(name: str) -> Path:
        path = TESTS.parent.parent / "shared" / name
        if not path.exists():
            pytest.skip(f"REAL DATA NOT TESTED: {path} is missing")
        return path

    return find


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 80 trajectories in "one" shard and in "several", split alike into train and val."""
    from trajectories import make_trajectories, write_raw

    from pipelines.preprocess import preprocess
    from pipelines.split import split

    folder = tmp_path_factory.mktemp("shards")
    raw = write_raw(folder / "raw.jsonl", make_trajectories(40))
    for name, size in (("one", 1 << 30), ("several", 4000)):
        done = preprocess([raw], folder / name, workers=1, shard_bytes=size)
        assert (len(done.manifest.shards) > 5) == (name == "several")
        split(folder / name, val_ratio=0.3)
    return {name: folder / name for name in ("one", "several")}
