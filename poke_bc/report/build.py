"""The report: everything that is computed, in order, and the file that holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poke_bc.contract.actions import ACTION_NAMES, GIMMICKS
from poke_bc.contract.errors import UsageError
from poke_bc.contract.field import FLAGS_A_COLUMN
from poke_bc.contract.files import atomic_write, temporary_name
from poke_bc.contract.rows import CATEGORY_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.evaluate import Bootstrap, paired
from poke_bc.report.battles import PROB_UNIT, VALUE_UNIT, VALUE_ZERO, Chosen, View, choose, views_of
from poke_bc.report.data_card import data_card
from poke_bc.report.judged import Judged, judge, short_names
from poke_bc.report.moments import most_surprising
from poke_bc.report.names import ids_by_vocabulary, move_facts, names_of
from poke_bc.report.page import BEGINNING, LIMIT, plotting_library, render_page
from poke_bc.report.settings import side_by_side
from poke_bc.version import __version__

_SPARE = 20_000
"""Bytes of the limit that no battle gets."""
BOARD_FIELDS = frozenset(f"{side}_{fact}" for side in ("own", "opp") for fact in (
    "species", "active", "hp", "status", "moves"))
"""The fields without which there is no board; the page then shows the raw fields alone."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    path: str
    bytes: int
    runs: int
    battles: int
    """Battles that can be browsed."""
    of: int
    """Battles of the split."""
    decisions: int


def report(runs: Sequence[str | Path], output: str | Path, shards: str | Path | None = None, split: str = "val", *,
           checkpoint: str = "best", battles: int | None = None, device: str = "auto",
           progress: Callable[[str], None] = lambda stage: None) -> Report:
    """Write one HTML page about runs, which needs no network and has at most 6 MB.

    Args:
        runs: runs, checkpoints or policy folders; the first one's battles are shown.
        output: the file; an earlier report is replaced, anything else is not.
        shards: judge on these instead of those each run was trained on.
        split: as for `evaluate`.
        checkpoint: "best", "last" or "step-00000500" of every run.
        battles: maximum of battles to show; by default as many as fit.
        device: as for training.
        progress: called with the name of each stage.

    Raises UsageError (nothing there, an output that cannot be written, no plotting library), RunError and ShardError.
    """
    places, path = [Path(run) for run in runs], Path(output)
    if not places:
        raise UsageError("no run to report on", hint="poke-bc report runs/bc -o report.html")
    if battles is not None and battles < 1:
        raise UsageError(f"battles = {battles}: expected at least 1", hint="leave it out to show as many as fit")
    _check_output(path)
    plotly = plotting_library()
    judged = []
    for place, name in zip(places, short_names(places), strict=True):
        progress(f"evaluating {name}")
        judged.append(judge(place, name, None if shards is None else Path(shards), split,
                            checkpoint=checkpoint, device=device))
    progress("reading the data")
    data = judged[0].data
    together = [one for one in judged if one.data.manifest.identity == data.manifest.identity
                and np.array_equal(one.data.rows, data.rows)]
    content = {
        "version": __version__, "split": split, "runs": [one.facts for one in judged],
        "together": [judged.index(one) for one in together], "verdicts": _verdicts(together),
        "settings": side_by_side([one.config for one in judged]),
        "data": data_card(data.shards), "schema": _schema(data.manifest.schema), "actions": ACTION_NAMES,
        "gimmicks": GIMMICKS, "units": [PROB_UNIT, VALUE_UNIT, VALUE_ZERO, FLAGS_A_COLUMN],
    }
    progress("choosing battles")
    views = views_of(data)
    moments = most_surprising(together[0].predictions.probability_NA, data.column("action"), data.column("trajectory"))
    room = LIMIT - _SPARE - len(render_page(content, [], plotly))
    chosen = choose(data, views, moments.tolist(), [one.predictions for one in together],
                    together[0].is_hit_N, room=room, most=battles)
    page = render_page(content | _battles(chosen, views, moments.tolist(), together, data.manifest.schema),
                       chosen.streams, plotly)
    with atomic_write(path) as file:
        file.write(page)
    return Report(path=str(path), bytes=len(page), runs=len(judged), battles=len(chosen.battles), of=chosen.of,
                  decisions=len(chosen.places_N))


def _verdicts(together: Sequence[Judged]) -> list[str]:
    """The first run against each of the others, decision by decision, in a sentence each."""
    first, *others = together
    if not others:
        return []
    keep_N = ~np.isnan(first.is_hit_N)
    bootstrap = Bootstrap(first.data.column("battle")[keep_N])
    return [paired(first.predictions.at(keep_N), other.predictions.at(keep_N), bootstrap, {},
                   names=(first.facts["name"], other.facts["name"]))["verdict"] for other in others]


def _check_output(path: Path) -> None:
    """Raises UsageError before anything is computed if the file could not be written, or is not a report."""
    hint = "give -o the name of an HTML file in a folder that exists"
    if path.is_dir():
        raise UsageError(f"{path}: a folder", hint=hint)
    try:
        if path.exists() and path.read_bytes()[: len(BEGINNING)] != BEGINNING:
            raise UsageError(f"{path}: is there already, and not a report of poke-bc, so it is not overwritten",
                             hint="remove it, or give -o another name")
        tried = temporary_name(path)
        os.close(os.open(tried, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        tried.unlink()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})", hint=hint) from None


def _schema(schema: Schema) -> dict[str, Any]:
    """The fields, and in which columns of the two matrices, side by side, each has its values."""
    fields = []
    for each in schema.fields:
        columns = schema.columns[each.name]
        first = columns.start + (0 if each.is_category else schema.category_width)
        fields.append({"name": each.name, "kind": each.kind, "width": each.width, "vocab": each.vocab,
                       "unit": each.unit, "doc": each.doc, "first": first, "columns": each.columns})
    return {"name": schema.name, "version": schema.version, "fields": fields,
            "has_board": schema.field_names >= BOARD_FIELDS,
            "named": [name for name, vocabulary in schema.vocabularies.items() if vocabulary.names is not None]}


def _battles(chosen: Chosen, views: Sequence[View], moments: Sequence[int], together: Sequence[Judged],
             schema: Schema) -> dict[str, Any]:
    """What the page needs to show battles."""
    data = together[0].data
    used = ids_by_vocabulary(schema, data.column(CATEGORY_COLUMN)[chosen.places_N]) if schema.category_width else {}
    gens = {int(gen) for view in views if (gen := view.facts["gen"]) is not None and 1 <= gen <= 9}
    action_N, held = data.column("action"), set(chosen.places_N.tolist())
    return {
        "battles": chosen.battles, "of": chosen.of, "layout": asdict(chosen.layout),
        "names": names_of(schema, used), "moves": move_facts(schema, used, gens),
        "moments": [{"row": place, "best": int(together[0].predictions.best_N[place]), "action": int(action_N[place]),
                     "confidence": float(together[0].predictions.probability_NA[place].max()),
                     "taken": float(together[0].predictions.probability_NA[place, action_N[place]])}
                    for place in moments if place in held],
    }
