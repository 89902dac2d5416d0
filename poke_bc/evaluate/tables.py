"""The result of an evaluation for a terminal: a summary, and slices on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from poke_bc.contract.errors import UsageError
from poke_bc.evaluate.slices import BY_CHOICE
from poke_bc.tables import make_table

Figures = Mapping[str, Any]
Row = tuple[tuple[str, ...], bool]
_HEADS = ("decisions", "NLL", "top-1", "top-3", "ECE")
_TITLES = {"kind": "kind of choice", "alive": "Pokémon left, compared with the opponent's",
           "known_moves": "known moves of the active Pokémon", "rating": "the player's rating"}
_INDENT = "  95% interval"


def render(result: Figures, slices: Sequence[str] = ()) -> RenderableType:
    """The result of `evaluate` as tables, followed by the remarks.

    Args:
        result: as returned.
        slices: kinds of slices to show as well.

    Raises UsageError for a kind that the result does not have.
    """
    check_slices(slices, result["slices"])
    judged = result["judged"]
    run = f"{judged['run']} ({judged['checkpoint']})" if judged["checkpoint"] else judged["run"]
    facts = [(("run", run), False),
             (("split", f"{judged['split']} of {judged['shards']}, {judged['battles']:,} battles"), False)]
    tables = [make_table(["", ""], facts, text=(0, 1)),
              make_table(["", *_HEADS], _overall(result), title="decisions with a choice"),
              make_table(["", "decisions", "chosen", "predicted"], [
                  ((name.replace("_", " "), f"{each['decisions']:,}", f"{each['chosen']:.1%}",
                    f"{each['predicted']:.1%}"), False) for name, each in result["switches"].items()],
                  title="share of switches, where moves and switches were open"),
              *_heads(result), *(_slice(kind, result["slices"][kind]) for kind in slices)]
    return Group(*tables, *(Text(f"! {remark}", style="yellow") for remark in result["remarks"]))


def check_slices(names: Sequence[str], there: Mapping[str, Any]) -> None:
    """Raises UsageError for a kind of slice that there is not."""
    for name in names:
        if name not in there:
            raise UsageError(f"no slices by {name!r} in these rows", hint=f"--slices all, or some of {','.join(there)}")


def _overall(result: Figures) -> list[Row]:
    rows = [_row("policy", result), _bounds(result["interval"])]
    if result["voluntary_switches"]:
        rows += [_row("voluntary switches", {**result["voluntary_switches"], "ece": None}),
                 _bounds(result["voluntary_switches"]["interval"])]
    return rows + [_row(f"baseline: {name.replace('_', ' ')}", each) for name, each in result["baselines"].items()]


def _heads(result: Figures) -> list[RenderableType]:
    """The value head and the gimmick head, each beside the best constant."""
    tables: list[RenderableType] = []
    if value := result["value"]:
        tables.append(make_table(["", "decisions", "Brier", "constant", "won"], [
            ((name, f"{each['decisions']:,}", f"{each['brier']:.4f}", f"{each['constant']:.4f}",
              f"{each['win_rate']:.1%}"), False)
            for name, each in (("all", value), *((f"turn {name}", each) for name, each in value["by_turn"].items()))],
            title="value head: probability of winning against the outcome"))
    if gimmick := result["gimmick"]:
        area = "-" if gimmick["auc"] is None else f"{gimmick['auc']:.3f}"
        tables.append(make_table(["", "decisions", "AUC", "log loss", "constant", "used"], [
            (("any", f"{gimmick['decisions']:,}", area, f"{gimmick['log_loss']:.4f}", f"{gimmick['constant']:.4f}",
              f"{gimmick['rate']:.1%}"), False)], title="gimmick head: activated with the move taken"))
    return tables


def _slice(kind: str, groups: Mapping[str, Figures]) -> RenderableType:
    rows = []
    for name, each in groups.items():
        bounds = [each["interval"][figure] for figure in ("nll", "top1")]
        spans = ["" if pair is None else f"±{(pair[1] - pair[0]) / 2:{style}}"
                 for pair, style in zip(bounds, (".3f", ".1%"), strict=True)]
        rows.append(((name, f"{each['decisions']:,}", f"{each['nll']:.3f}", spans[0], f"{each['top1']:.1%}", spans[1],
                      f"{each['top3']:.1%}", "" if kind in BY_CHOICE else f"{each['ece']:.1%}"), False))
    return make_table(["", "decisions", "NLL", "", "top-1", "", "top-3", "" if kind in BY_CHOICE else "ECE"], rows,
                      title=f"by {_TITLES.get(kind, kind.replace('_', ' '))}")


def _row(name: str, figures: Figures) -> Row:
    return (name, f"{figures['decisions']:,}", f"{figures['nll']:.4f}", f"{figures['top1']:.1%}",
            f"{figures['top3']:.1%}", "" if figures.get("ece") is None else f"{figures['ece']:.1%}"), False


def _bounds(interval: Mapping[str, list[float] | None]) -> Row:
    nll, top1, top3 = (interval[name] for name in ("nll", "top1", "top3"))
    if nll is None or top1 is None or top3 is None:
        return (f"{_INDENT}: too few battles", "", "", "", "", ""), False
    return (_INDENT, "", f"{nll[0]:.4f}-{nll[1]:.4f}", f"{top1[0]:.1%}-{top1[1]:.1%}", f"{top3[0]:.1%}-{top3[1]:.1%}",
            ""), False
