"""Battles in place of trajectories: `convert` was forgotten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from poke_bc.contract.errors import InputError

ENDINGS = (".log", ".html", ".htm", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")
"""Files that hold battles, if anything that poke-bc reads."""
_LOOKED_AT = 1 << 16
_BATTLE = re.compile(rb'"(?:log|text)"\s*:\s*"(?:\\n)*\||"(?:log|spectator)"\s*:\s*\[|class="?battle-log-data'
                     rb"|^(?:>battle-|\|(?:init|j|player|gametype|gen|tier|t:)\|)", re.MULTILINE)


def are_battles(text: bytes) -> bool:
    """Whether a text begins with a battle: a replay, a battle record, a log or a saved page.

    >>> are_battles(b'{"id": "gen9ou-1", "log": "|j|x"}'), are_battles(b'{"replay_id": "a", "steps": []}')
    (True, False)
    """
    head = text[:_LOOKED_AT]
    return b'"steps"' not in head and _BATTLE.search(head) is not None


def battles_given(name: str, inputs: Sequence[str] = ()) -> InputError:
    """The error for them; its hint names the folder of all inputs if they have one."""
    folders = {Path(each).parent for each in inputs}
    given = str(folders.pop()) if len(inputs) > 1 and len(folders) == 1 else name
    return InputError(f"{name}: these are battles, not trajectories", hint=hint(given))


def hint(name: str) -> str:
    """The command that comes first."""
    return f"poke-bc convert {name} -o raw.jsonl.zst, then: poke-bc preprocess raw.jsonl.zst"
