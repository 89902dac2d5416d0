"""What every test may ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("poke-bc", deadline=None)  # other processes share the processor
settings.load_profile("poke-bc")

TESTS = Path(__file__).resolve().parent
# Tests import their makers by name (`from trajectories import ...`); importlib mode leaves sys.path alone.
sys.path.insert(0, str(TESTS))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of real data that is not in the repository, such as "basic/trajectories.jsonl"; skips where it is not there."""
    def find(name: str) -> Path:
        path = TESTS.parent.parent / "shared" / name
        if not path.exists():
            pytest.skip(f"REAL DATA NOT TESTED: {path} is missing")
        return path

    return find
