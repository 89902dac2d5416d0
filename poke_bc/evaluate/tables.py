"""Results of evaluations for a terminal: a summary first, slices on request. At most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from poke_bc.contract.errors import UsageError
from poke_bc.evaluate.slices import BY_CHOICE, KINDS
from poke_bc.tables import make_table

Figures = Mapping[str, Any]
Row = tuple[tuple[str, ...], bool]
ALL = "all"
_TITLES = {"kind": "kind of choice", "alive": "Pokémon left, compared with the opponent's",
           "known_moves": "known moves of the active Pokémon", "rating": "the player's rating"}
_MORE = Text("\nwhere it is good and where not: --slices all; everything: --json", style="dim")
_BOUNDS = "  95% interval"


def kinds_of_slices(text: str) -> tuple[str, ...]:
    """Kinds of slices from "all" or names with commas between. Raises UsageError for another name.

    >>> kinds_of_slices("turn, kind")
    ('turn', 'kind')
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in (ALL, *KINDS)]:
        raise UsageError(f"no slices by {unknown[0]!r}", hint=f"--slices {ALL}, or some of {','.join(KINDS)}")
    return KINDS if ALL in names else names


def render(result: Figures, slices: Sequence[str] = ()) -> RenderableType:
    """The result of `evaluate` as tables, followed by the remarks. `slices`: kinds of slices to show as well."""
    judged = result["judged"]
    facts = [(("run", _named(judged)), False), (("split", _split(judged)), False)]
    tables = [make_table(["", ""], facts, text=(0, 1)),
              make_table(["", "decisions", "NLL", "top-1", "top-3", "ECE"], _overall(result),
                         title="decisions with a choice"),
              _switches(result), *_heads(result), *_leaks(result)]
    for kind in slices:
        groups = result["slices"].get(kind)
        tables.append(_slice(kind, groups) if groups else _absent(kind))
    return Group(*tables, *_remarks(result["remarks"]), *([] if slices else [_MORE]))


def render_comparison(found: Figures, slices: Sequence[str] = ()) -> RenderableType:
    """The result of `compare` as tables: all runs, then how the first differs from each other one."""
    results, pairs = found["results"], found["pairs"]
    letters = ["A", *(pair["names"][1] for pair in pairs)]
    facts = [((letter, _named(result["judged"])), False) for letter, result in zip(letters, results, strict=True)]
    first = results[0]
    tables = [make_table(["", ""], [*facts, (("split", _split(first["judged"])), False)], text=(0, 1)),
              make_table(["", "NLL", "top-1", "top-3", "ECE", "switch top-1", "top-3"], [
                  *(_wide(letter, result, result["voluntary_switches"])
                    for letter, result in zip(letters, results, strict=True)),
                  *(_wide(_baseline(name), each, None) for name, each in first["baselines"].items())],
                  title=f"{first['decisions']:,} decisions with a choice")]
    for pair in pairs:
        tables += _pair(pair, slices)
    said = [f"{letter}: {remark}" for letter, result in zip(letters, results, strict=True)
            for remark in result["remarks"]]
    return Group(*tables, *_remarks(said), *([] if slices else [_MORE]))


def _named(judged: Figures) -> str:
    return f"{judged['run']} ({judged['checkpoint']})" if judged["checkpoint"] else str(judged["run"])


def _split(judged: Figures) -> str:
    return f"{judged['split']} of {judged['shards']}, {judged['battles']:,} battles"


def _overall(result: Figures) -> list[Row]:
    rows = [_row("policy", result), _bounds(result["interval"])]
    if voluntary := result["voluntary_switches"]:
        rows += [_row("voluntary switches", {**voluntary, "ece": None}), _bounds(voluntary["interval"])]
    return rows + [_row(_baseline(name), each) for name, each in result["baselines"].items()]


def _switches(result: Figures) -> RenderableType:
    return make_table(["", "decisions", "chosen", "predicted"], [
        ((name.replace("_", " "), f"{each['decisions']:,}", f"{each['chosen']:.1%}", f"{each['predicted']:.1%}"), False)
        for name, each in result["switches"].items()], title="share of switches, where moves and switches were open")


def _heads(result: Figures) -> list[RenderableType]:
    """The value head and the gimmick head, each beside the best constant."""
    tables = []
    if value := result["value"]:
        shown = {"all": value, **{f"turn {name}": each for name, each in value["by_turn"].items()}}
        tables.append(make_table(["", "decisions", "Brier", "constant", "won"], [
            ((name, f"{each['decisions']:,}", f"{each['brier']:.4f}", f"{each['constant']:.4f}",
              f"{each['win_rate']:.1%}"), False) for name, each in shown.items()],
            title="value head: probability of winning, against the outcome"))
    if gimmick := result["gimmick"]:
        area = "-" if gimmick["auc"] is None else f"{gimmick['auc']:.3f}"
        tables.append(make_table(["", "decisions", "AUC", "log loss", "constant", "used"], [
            (("any", f"{gimmick['decisions']:,}", area, f"{gimmick['log_loss']:.4f}", f"{gimmick['constant']:.4f}",
              f"{gimmick['rate']:.1%}"), False)],
            title="gimmick head: activated with the move taken, where one could be"))
    return tables


def _leaks(result: Figures) -> list[RenderableType]:
    leaks = result["leaks"]
    if not leaks:
        return []
    rows = [(("this policy", f"{leaks['policy']:.1%}", f"{leaks['checks'][0]['decisions']:,}"), False), *(
        ((each["check"], f"{each['accuracy']:.1%}", f"{each['decisions']:,}"), False) for each in leaks["checks"])]
    return [make_table(["", "accuracy", "decisions"], rows, title="leak check: choices among several moves"),
            Text(f"all four own moves known in {leaks['all_known']:.1%} of these decisions; compare with other shards: "
                 "poke-bc inspect SHARDS --leaks --against OTHERS")]


def _slice(kind: str, groups: Mapping[str, Figures]) -> RenderableType:
    rows = []
    for name, each in groups.items():
        spans = _half_widths(each["interval"])
        rows.append(((name, f"{each['decisions']:,}", f"{each['nll']:.3f}", spans[0], f"{each['top1']:.1%}", spans[1],
                      f"{each['top3']:.1%}", "" if kind in BY_CHOICE else f"{each['ece']:.1%}"), False))
    return make_table(["", "decisions", "NLL", "", "top-1", "", "top-3", "" if kind in BY_CHOICE else "ECE"], rows,
                      title=_title(kind))


def _pair(pair: Figures, slices: Sequence[str]) -> list[RenderableType]:
    """How one run differs from another: figures, counts, the verdict, slices."""
    (a, b), right, interval = pair["names"], pair["right"], pair["interval"]
    total = sum(right.values())
    rows = [((name, _signed(pair["difference"][figure], figure), *(
        ("", "too few battles") if interval[figure] is None else
        (_signed(interval[figure][0], figure), _signed(interval[figure][1], figure)))), False)
        for name, figure in (("NLL", "nll"), ("top-1, points", "top1"), ("top-3, points", "top3"))]
    shares = {name: f"{count:,} ({count / total:.1%})" for name, count in right.items()}
    tables = [make_table(["", "difference", "95% from", "to"], rows, title=f"{a} - {b}"),
              make_table(["", f"{b} right", f"{b} wrong"], [
                  ((f"{a} right", shares["both"], shares["only_a"]), False),
                  ((f"{a} wrong", shares["only_b"], shares["neither"]), False)],
                  title=f"top-1; they have different favourites in {pair['differ']:.1%} of decisions"),
              Text(f"\n{pair['verdict']}", style="bold")]
    for kind in slices:
        groups = pair["slices"].get(kind)
        tables.append(_slice_of_pair(kind, groups, f"{a} - {b}") if groups else _absent(kind))
    return tables


def _slice_of_pair(kind: str, groups: Mapping[str, Figures], names: str) -> RenderableType:
    rows = []
    for name, each in groups.items():
        spans = _half_widths(each["interval"])
        rows.append(((name, f"{each['decisions']:,}", _signed(each["difference"]["nll"], "nll"), spans[0],
                      f"{100 * each['difference']['top1'] + 0.0:+.1f}", spans[1].removesuffix("%")), False))
    return make_table(["", "decisions", "NLL", "", "top-1, points", ""], rows, title=f"{_title(kind)}: {names}")


def _half_widths(interval: Mapping[str, list[float] | None]) -> tuple[str, str]:
    """Half the width of the intervals of nll and top1."""
    nll, top1 = interval["nll"], interval["top1"]
    return ("" if nll is None else f"±{(nll[1] - nll[0]) / 2:.3f}", "" if top1 is None else
            f"±{(top1[1] - top1[0]) / 2:.1%}")


def _title(kind: str) -> str:
    return f"by {_TITLES.get(kind, kind.replace('_', ' '))}"


def _absent(kind: str) -> RenderableType:
    return Text(f"\nby {kind.replace('_', ' ')}: nothing in these shards tells it", style="italic")


def _baseline(name: str) -> str:
    return f"baseline: {name.replace('_', ' ')}"


def _signed(value: float, figure: str) -> str:
    return f"{value:+.4f}" if figure == "nll" else f"{100 * value:+.2f}"


def _row(name: str, figures: Figures) -> Row:
    return (name, f"{figures['decisions']:,}", f"{figures['nll']:.4f}", f"{figures['top1']:.1%}",
            f"{figures['top3']:.1%}", "" if figures.get("ece") is None else f"{figures['ece']:.1%}"), False


def _wide(name: str, figures: Figures, voluntary: Figures | None) -> Row:
    """A row without its number of decisions, with the figures of voluntary switches."""
    switches = ("", "") if voluntary is None else (f"{voluntary['top1']:.1%}", f"{voluntary['top3']:.1%}")
    cells, highlighted = _row(name, figures)
    return (cells[0], *cells[2:], *switches), highlighted


def _bounds(interval: Mapping[str, list[float] | None]) -> Row:
    nll, top1, top3 = (interval[name] for name in ("nll", "top1", "top3"))
    if nll is None or top1 is None or top3 is None:
        return (f"{_BOUNDS}: too few battles", "", "", "", "", ""), False
    return (_BOUNDS, "", f"{nll[0]:.4f}-{nll[1]:.4f}", f"{top1[0]:.1%}-{top1[1]:.1%}", f"{top3[0]:.1%}-{top3[1]:.1%}",
            ""), False


def _remarks(remarks: Sequence[str]) -> list[RenderableType]:
    return [Text(f"! {remark}", style="yellow") for remark in remarks]
