"""Trains and judges again what docs/experiments.md reports, with several seeds.

    just reproduce formats             17,000 battles of other formats, from spectator logs: what the others start from
    just reproduce random-battles      human random battles, as their players saw them
    just reproduce spectator           the same battles from spectator logs, judged on what the players saw
    just reproduce gen9ou              generation 9 OU from spectator logs, on top of both

Settings are the defaults of `poke-bc train`, except for those that an experiment names below; --set changes them.
Judged on the test split, which neither training nor the choice of any setting has seen. FOLDER keeps shards and runs:
what is there is used again, and an interrupted run is continued.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poke_bc.evaluate import evaluate
from poke_bc.train import resolve, train
from tests.bench.common import ROOT
from tests.bench.views import LOG, PLAYER, make_shards

RATIOS = {"val_ratio": 0.05, "test_ratio": 0.15}
FIGURES = {"top1": "top-1", "top3": "top-3", "nll": "NLL", "ece": "ECE", "switch_top1": "voluntary switches top-1",
           "switch_top3": "top-3"}


@dataclass(frozen=True)
class Experiment:
    """What to train on, and what to judge on."""

    records: tuple[str, ...]
    """Files of ../shared; the first one names the folder of their shards."""
    view: str = LOG
    judged_view: str = LOG
    after: str = ""
    """The experiment whose policies to start from, seed by seed."""
    settings: tuple[str, ...] = ()
    """As of --set."""
    targets: Mapping[str, float] = field(default_factory=dict)


FORMATS = tuple(f"replays/{name}.jsonl.zst" for name in (
    "mixed", "battlefactory", "gen5lc", "gen5nu", "gen5ou", "gen5uu", "gen6ou-old", "gen6uu-old", "gen7randombattle",
    "gen8ou", "gen9ou", "orasou", "ou", "oususpecttest", "uu"))
"""Not gen9randombattle: these are the battles of resim."""
RANDOM_BATTLES = ("resim/gen9randombattle.jsonl.zst",)
ONWARD = ("lr=1e-3", "epochs=6")
EXPERIMENTS = {
    "formats": Experiment(FORMATS, settings=("epochs=1.5",)),
    "random-battles": Experiment(
        RANDOM_BATTLES, PLAYER, PLAYER, after="formats", settings=ONWARD,
        targets={"top1": 0.575, "top3": 0.905, "nll": 1.12, "ece": 0.01, "switch_top1": 0.28, "switch_top3": 0.68}),
    "spectator": Experiment(RANDOM_BATTLES, LOG, PLAYER, after="formats", settings=ONWARD),
    "gen9ou": Experiment(("replays/gen9ou.jsonl.zst",), after="random-battles", settings=("lr=1e-3", "epochs=4"),
                         targets={"top1": 0.46, "top3": 0.82, "nll": 1.30}),
}


def reproduce(name: str, folder: Path, shared: Path, seeds: Sequence[int], settings: Sequence[str] = ()) -> Path:
    """Train with every seed, judge on the test split and write FOLDER/NAME.json: figures of each seed."""
    shards = _shards(name, EXPERIMENTS[name].judged_view, folder, shared)
    found = {}
    for seed in seeds:
        result = evaluate(_trained(name, folder, shared, seed, settings), shards, "test")
        switches = result["voluntary_switches"] or {}
        found[str(seed)] = {**{each: result[each] for each in ("decisions", "top1", "top3", "nll", "ece")},
                            **{f"switch_{each}": switches.get(each) for each in ("top1", "top3")}}
    out = folder / f"{name}.json"
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return out


def _shards(name: str, view: str, folder: Path, shared: Path) -> Path:
    records = EXPERIMENTS[name].records
    return make_shards([shared / each for each in records], folder / Path(records[0]).name.partition(".")[0], view,
                       **RATIOS)


def _trained(name: str, folder: Path, shared: Path, seed: int, settings: Sequence[str]) -> Path:
    """The finished run of an experiment with one seed, after the one that it starts from."""
    experiment, run, start = EXPERIMENTS[name], folder / "runs" / f"{name}-{seed}", {}
    if experiment.after:
        start = {"init_from": _trained(experiment.after, folder, shared, seed, settings)}
    resume = (run / "config.toml").exists()
    shards = _shards(name, experiment.view, folder, shared)
    config = resolve({"shards": shards, "run": run, "seed": seed, **start}, resume=resume,
                     assignments=[*experiment.settings, *settings])
    train(config, resume=resume)
    return run


def report(name: str, found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A Markdown table: each seed, their mean, and the target."""
    decisions = next(iter(found.values()))["decisions"]
    yield f"{name}: {decisions:,} decisions of the test split\n"
    yield f"| seed | {' | '.join(FIGURES.values())} |"
    yield f"|---|{'--:|' * len(FIGURES)}"
    means = {each: statistics.fmean(of[each] for of in found.values()) for each in FIGURES
             if all(of[each] is not None for of in found.values())}
    for title, of in (*found.items(), ("mean", means), ("target", EXPERIMENTS[name].targets)):
        yield f"| {title} | {' | '.join(_cell(each, of.get(each)) for each in FIGURES)} |"


def _cell(figure: str, value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if figure == "nll" else f"{value:.1%}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="just reproduce", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "reproduce")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where replays/ and resim/ are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    for records in EXPERIMENTS[given.name].records:
        if not (given.shared / records).exists():
            parser.error(f"{given.shared / records}: does not exist; say where the battles are: --shared FOLDER")
    out = reproduce(given.name, given.folder, given.shared, range(given.seeds), given.settings)
    print("\n".join(report(given.name, json.loads(out.read_text("utf-8")))))


if __name__ == "__main__":
    main()
