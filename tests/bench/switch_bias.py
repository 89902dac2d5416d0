"""Does leaving out choices that nobody saw teach a policy to switch? Two trainings on spectator logs, judged by what
the players chose.

Battles whose requests and choices were recorded are converted twice: from the spectator's log alone, and with requests.
Two policies are trained on the first, without and with the choices that the log hides (`censored = "skip"` and
`"marginal"`). Held-out rows of the log are matched with the recorded choices by (battle, player, turn), and each
policy's predicted share of switches is compared with the true one, by HP of the active Pokémon and by who is slower:
once as it sees the row in the log ("log"), once as the player saw it ("player"). NLL is that of the recorded choice.

    python -m tests.bench.switch_bias RECORDS.jsonl.zst FOLDER [--battles 3000] [--set epochs=4 ...]

FOLDER keeps the shards and the runs; what is there is used again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poke_bc.contract.actions import MOVE_SLOTS, NO_LABEL, unpack_actions
from poke_bc.data.dataset import ShardDataset
from poke_bc.metrics import EVAL_BATCH, switch_labels
from poke_bc.policy import Policy, load_policy
from poke_bc.train import resolve, train
from tests.bench.views import LOG, PLAYER, make_shards

WAYS = ("skip", "marginal")
BANDS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01))
SPEEDS = ("slower", "as fast", "faster")
_SPECIES = 1 << 20  # sets species apart from moves
Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Held-out rows of one view in which the player chose an action for the turn."""

    data: ShardDataset
    place_N: Array
    """Places in `data`."""
    key_N: list[tuple[int, str, int]]
    """(battle, player, turn)."""

    @classmethod
    def of(cls, folder: Path) -> Rows:
        data = ShardDataset(folder, "val", every_row=True)
        phases = data.manifest.schema.vocabularies["phase"].names or ()
        place_N = np.flatnonzero(data.field("phase")[:, 0] == 2 + phases.index("turn"))
        player_T = data.shards.trajectories("player")
        key_N = [*zip(data.column("battle")[place_N].tolist(),
                      (player_T[trajectory] for trajectory in data.column("trajectory")[place_N]),
                      data.field("turn")[place_N, 0].astype(int).tolist(), strict=True)]
        return cls(data, place_N, key_N)

    def at(self, keep: Sequence[int]) -> Rows:
        return Rows(self.data, self.place_N[keep], [self.key_N[place] for place in keep])

    def column(self, name: str) -> Array:
        return self.data.column(name)[self.place_N]

    def field(self, name: str) -> Array:
        return self.data.field(name)[self.place_N]

    def of_active(self, name: str) -> Array:
        """Values of a field with six slots, or several for each, at the active Pokémon [N, ...]."""
        values = self.field(name).reshape(len(self.place_N), 6, -1)
        taken: Array = np.take_along_axis(values, self.field("own_active").argmax(axis=1)[:, None, None], axis=1)
        return taken[:, 0]

    def names(self) -> Array:
        """What each action names [N, A]: a move of the active Pokémon, or a species."""
        return np.concatenate([self.of_active("own_moves").astype(np.int64),
                               self.field("own_species").astype(np.int64) + _SPECIES], axis=1)

    @torch.inference_mode()
    def probabilities(self, policy: Policy) -> Array:
        """[N, A]."""
        chunks = np.array_split(self.place_N, max(1, -(-len(self.place_N) // EVAL_BATCH)))
        return np.concatenate([policy(self.data.batch(chunk)).logits.softmax(dim=1).numpy() for chunk in chunks])


def matched(folder: Path) -> tuple[Rows, Rows]:
    """The same decisions in the log and as the player saw them, in one order; those that occur once in each view."""
    log, player = Rows.of(folder / LOG), Rows.of(folder / PLAYER)
    in_log, in_player = ({key: place for place, key in enumerate(rows.key_N) if counts[key] == 1}
                         for rows, counts in ((rows, Counter(rows.key_N)) for rows in (log, player)))
    keys = [key for key in in_log if key in in_player]
    return log.at([in_log[key] for key in keys]), player.at([in_player[key] for key in keys])


def judge(folder: Path) -> dict[str, Any]:
    """Shares of switches by HP and speed, and NLL, of the policies in FOLDER/skip and FOLDER/marginal."""
    log, player = matched(folder)
    action_N = player.column("action")
    truth_N = switch_labels(action_N, np.zeros_like(player.column("legal")), player.column("legal"))
    labels_N = switch_labels(log.column("action"), log.column("candidates"), log.column("legal"))
    observed_N = np.where(log.column("action") == NO_LABEL, np.nan, labels_N)
    views = {LOG: log, PLAYER: player}
    probs = {(way, view): rows.probabilities(load_policy(folder / way)) for way in WAYS for view, rows in views.items()}

    hp_N, speed_N = player.of_active("own_hp")[:, 0], player.field("speed_advantage")[:, 0]
    slices = {"all": np.ones(len(hp_N), np.bool_)}
    for low, high in BANDS:
        band_N = (hp_N >= low) & (hp_N < high)
        slices[f"HP {low:.0%}-{min(high, 1):.0%}"] = band_N
        for name, sign in zip(SPEEDS, (-1, 0, 1), strict=True):
            slices[f"HP {low:.0%}-{min(high, 1):.0%}, {name}"] = band_N & (np.sign(speed_N) == sign)
    shares = {}
    for name, in_slice_N in slices.items():
        keep_N = in_slice_N & ~np.isnan(truth_N)
        if keep_N.any():
            shares[name] = {
                "decisions": int(keep_N.sum()), "true": _mean(truth_N[keep_N]), "observed": _mean(observed_N[keep_N]),
                "with_censored": _mean(labels_N[keep_N]),
                **{f"{way} {view}": _mean(probs[way, view][keep_N, MOVE_SLOTS:].sum(axis=1)) for way, view in probs}}
    return {"matched": len(action_N), "shares": shares,
            "nll": {view: dict(_nll(rows, player, {way: probs[way, view] for way in WAYS}))
                    for view, rows in views.items()}}


def _nll(rows: Rows, player: Rows, probs: dict[str, Array]) -> Iterator[tuple[str, Any]]:
    """NLL and top-1 of the recorded choices among several, where a view has the move or species in a legal slot."""
    action_N, legal_N = player.column("action"), rows.column("legal")
    chosen_N = np.take_along_axis(player.names(), np.maximum(action_N, 0).astype(np.int64)[:, None], axis=1)
    legal_NA = unpack_actions(legal_N) | (legal_N == 0)[:, None]
    same_NA = (rows.names() == chosen_N) & legal_NA
    keep_N = same_NA.any(axis=1) & (action_N != NO_LABEL) & (legal_NA.sum(axis=1) > 1)
    place_N = same_NA.argmax(axis=1)[keep_N]
    yield "decisions", int(keep_N.sum())
    for way, probs_NA in probs.items():
        kept_NA = probs_NA[keep_N]
        yield way, {"nll": float(-np.log(kept_NA[np.arange(len(place_N)), place_N]).mean()),
                    "top1": float((kept_NA.argmax(axis=1) == place_N).mean())}


def _mean(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def report(found: dict[str, Any]) -> Iterator[str]:
    """The result as Markdown."""
    heads = [*next(iter(found["shares"].values()))]
    yield f"{found['matched']:,} decisions of held-out battles\n"
    yield f"| share of switches | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(heads)}"
    for name, shares in found["shares"].items():
        cells = [f"{share:,}" if head == "decisions" else "-" if share is None else f"{share:.1%}"
                 for head, share in shares.items()]
        yield f"| {name} | {' | '.join(cells)} |"
    yield "\n| recorded choices | decisions | " + " | ".join(f"{way} NLL | {way} top-1" for way in WAYS) + " |"
    yield f"|---|--:|{'--:|--:|' * len(WAYS)}"
    for view, figures in found["nll"].items():
        cells = [f"{figures[way]['nll']:.4f} | {figures[way]['top1']:.1%}" for way in WAYS]
        yield f"| as in the {view} | {figures['decisions']:,} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--battles", type=int)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    for view in (LOG, PLAYER):
        make_shards([given.records], given.folder, view, given.battles, val_ratio=0.2)
    for way in WAYS:
        run = given.folder / way
        resume = (run / "config.toml").exists()
        config = resolve({"shards": given.folder / LOG, "run": run}, resume=resume,
                         assignments=[*given.settings, f"censored={way}"])
        train(config, resume=resume)
    found = judge(given.folder)
    (given.folder / "switch_bias.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(report(found)))


if __name__ == "__main__":
    main()
