"""What is right in the rows of each case: CASES maps its name to a check that raises Wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# in the order of docs/schema.md, field own_volatiles
VOLATILES = (
    "substitute confusion leechseed taunt encore disable torment attract yawn curse nightmare partiallytrapped "
    "trapped ingrain aquaring magnetrise healblock throatchop focusenergy charge saltcure destinybond perishsong "
    "flashfire slowstart mustrecharge charging locked transform smackdown"
).split()


class Wrong(Exception):
    def __init__(self, expected: str, got: object):
        super().__init__(f"expected {expected}, got {got}")


def hold(right: bool, expected: str, got: object) -> None:
    if not right:
        raise Wrong(expected, got)


@dataclass(frozen=True)
class Row:
    """A decision: actions by name, fields by species."""

    player: str
    step: dict

    @property
    def seen(self) -> dict:
        return self.step["observation"]

    @property
    def turn(self) -> int:
        return self.seen["turn"]

    @property
    def phase(self) -> str:
        return self.seen["phase"]

    @property
    def where(self) -> str:
        return f"{self.player} turn {self.turn} {self.phase}"

    @property
    def actions(self) -> list[str]:
        """The active Pokémon's four moves, then `switch X` for each own slot."""
        at = self.seen["own_active"].index(True) if True in self.seen["own_active"] else 0
        return [*self.seen["own_moves"][at * 4 : at * 4 + 4], *("switch " + name for name in self.seen["own_species"])]

    @property
    def label(self) -> str:
        """`observed X`, `censored` or `none`."""
        kind = self.step.get("label", "observed")
        if kind != "observed":
            return kind
        return "observed " + self.actions[self.step["action_target"] + (4 if self.step["action_type"] else 0)]

    @property
    def observed(self) -> bool:
        return self.label.startswith("observed")

    @property
    def legal(self) -> set[str]:
        return {name for name, flag in zip(self.actions, self.step.get("legal") or [], strict=False) if flag}

    @property
    def candidates(self) -> set[str]:
        return {name for name, flag in zip(self.actions, self.step.get("candidates") or [], strict=False) if flag}

    @property
    def switches(self) -> set[str]:
        return {name for name in self.legal if name.startswith("switch ")}

    def slot(self, side: str, species: str | None = None) -> int:
        """Of that species, or of the active Pokémon."""
        if species is None:
            hold(True in self.seen[f"{side}_active"], f"{self.where}: an active Pokémon in {side}_active", "none")
            return self.seen[f"{side}_active"].index(True)
        names = self.seen[f"{side}_species"]
        hold(species in names, f"{self.where}: {species} in {side}_species", names)
        return names.index(species)

    def of(self, field: str, species: str | None = None) -> object:
        """`of("own_ability", "mew")`, `of("opp_type1")` for the active one."""
        return self.seen[field][self.slot(field[:3], species)]

    def moves(self, side: str, species: str | None = None) -> list[str]:
        """Known moves, in the order of their slots."""
        at = self.slot(side, species) * 4
        return [name for name in self.seen[f"{side}_moves"][at : at + 4] if name not in ("none", "unknown")]

    def pp_used(self, side: str, move: str, species: str | None = None) -> int:
        at = self.slot(side, species) * 4
        names = self.seen[f"{side}_moves"][at : at + 4]
        hold(move in names, f"{self.where}: {move} in {side}_moves", names)
        return self.seen[f"{side}_pp_used"][at + names.index(move)]

    def volatile(self, side: str, name: str) -> bool:
        return bool(self.seen[f"{side}_volatiles"][VOLATILES.index(name)])


@dataclass(frozen=True)
class Game:
    """What `convert` made of a case's file; `refused` is its error if it made nothing."""

    trajectories: list[dict]
    refused: str = ""

    def rows(self, player: str, turns: Iterable[int] | None = None, phase: str | None = None) -> list[Row]:
        if self.refused:
            raise Wrong("a converted battle", self.refused)
        wanted = None if turns is None else set(turns)
        every = [Row(player, step) for t in self.trajectories if t["player"] == player for step in t["steps"]]
        return [row for row in every if (wanted is None or row.turn in wanted) and phase in (None, row.phase)]

    def row(self, player: str, turn: int, phase: str = "turn") -> Row:
        rows = self.rows(player, [turn], phase)
        hold(len(rows) == 1, f"one row {player} turn {turn} {phase}", f"{len(rows)} rows")
        return rows[0]


def refused_by_name(game: Game) -> bool:
    """Refused for a reason that somebody wrote, not for an exception."""
    return (
        "could be converted" in game.refused
        and "internal error" not in game.refused
        and "Traceback" not in game.refused
    )


def label_is(row: Row, *right: str) -> None:
    hold(row.label in right, f"{row.where}: label {' or '.join(right)}", row.label)


def value_is(row: Row, field: str, species: str | None, *right: object) -> None:
    got = row.of(field, species)
    hold(got in right, f"{row.where}: {field} of {species or 'the active one'} {' or '.join(map(str, right))}", got)


def no_stint_of(row: Row, species: str) -> None:
    """The log proves that it is another one that stands there: no label under that name."""
    active = row.seen["own_species"][row.slot("own")]
    hold(not (row.observed and active == species), f"{row.where}: no label of {species}", row.label)


CASES: dict[str, Callable[[Game], None]] = {}


def case(check: Callable[[Game], None]) -> Callable[[Game], None]:
    CASES[check.__name__] = check
    return check


@case
def C01(game: Game) -> None:
    label_is(game.row("p1", 1), "observed switch snorlax")
    rows = game.rows("p1", [1])
    hold(len(rows) == 1, "p1 turn 1: one row, of phase turn", [row.phase for row in rows])


@case
def C02(game: Game) -> None:
    row = game.row("p1", 6)
    label_is(row, "censored", "none")
    if row.label == "censored":
        right = (
            row.candidates
            and all(name.startswith("switch ") for name in row.candidates)
            and "switch snorlax" in row.candidates
        )
        hold(bool(right), "p1 turn 6: candidates among switches, switch snorlax one of them", sorted(row.candidates))


@case
def C04(game: Game) -> None:
    label_is(game.row("p1", 0, "preview"), "observed switch zoroark", "none", "censored")
    for row in game.rows("p1", range(1, 7), "turn"):
        no_stint_of(row, "venusaur")
    for row in game.rows("p1"):
        hold(
            "nastyplot" not in row.moves("own", "venusaur"),
            f"{row.where}: venusaur without nastyplot",
            row.moves("own", "venusaur"),
        )
    for player, side in (("p1", "own"), ("p2", "opp")):
        rows = game.rows(player, range(7, 100))
        hold(bool(rows), f"{player}: rows from turn 7 on", "none")
        for row in rows:
            hold(row.seen[f"{side}_alive"] == 2, f"{row.where}: {side}_alive 2", row.seen[f"{side}_alive"])
            value_is(row, f"{side}_fainted", "zoroark", True)
            hold("switch zoroark" not in row.legal, f"{row.where}: switch zoroark closed", "open")
            hold(
                "nastyplot" not in row.moves(side, "venusaur"),
                f"{row.where}: venusaur without nastyplot",
                row.moves(side, "venusaur"),
            )


@case
def C08(game: Game) -> None:
    before, after = ["recover", "sketch", "spore", "uturn"], ["recover", "spore", "stealthrock", "uturn"]
    for row in game.rows("p1"):
        right = before if row.turn <= 2 else after
        got = row.moves("own", "smeargle")
        hold(sorted(got) == right, f"{row.where}: own_moves of smeargle {right}", got)
    label_is(game.row("p1", 2), "observed sketch")
    label_is(game.row("p1", 3), "observed stealthrock")
    label_is(game.row("p1", 5), "observed uturn")


@case
def C09(game: Game) -> None:
    label_is(game.row("p1", 3), "none")
    for row in game.rows("p1"):
        hold(
            "outrage" not in row.moves("own", "lucario"),
            f"{row.where}: own_moves of lucario without outrage",
            row.moves("own", "lucario"),
        )
    for row in game.rows("p2", range(3, 100)):
        hold(
            "outrage" not in row.moves("opp", "lucario"),
            f"{row.where}: opp_moves of lucario without outrage",
            row.moves("opp", "lucario"),
        )
    hold(
        "copycat" in game.row("p2", 5).moves("opp", "lucario"),
        "p2 turn 5: opp_moves of lucario with copycat",
        game.row("p2", 5).moves("opp", "lucario"),
    )


@case
def C11(game: Game) -> None:
    value_is(game.row("p1", 1), "own_ability", None, "unknown", "roughskin")


@case
def C14(game: Game) -> None:
    value_is(game.row("p1", 0, "preview"), "own_ability", "mew", "synchronize")
    value_is(game.row("p1", 1), "own_ability", "mew", "synchronize")


@case
def C17(game: Game) -> None:
    value_is(game.row("p1", 1), "own_ability", "excadrill", "sandrush")
    for turn in (2, 3, 4, 5):
        value_is(game.row("p1", turn), "own_ability", "excadrill", "mummy")


@case
def C18(game: Game) -> None:
    for turn, bench in ((1, ("arceus", "eternatuseternamax")), (2, ("arceus", "rayquazamega"))):
        row = game.row("p1", turn)
        right = {"switch " + name for name in bench}
        hold(row.switches == right, f"{row.where}: open {sorted(right)}", sorted(row.switches))


@case
def C20(game: Game) -> None:
    for turn in (3, 9):
        row = game.row("p1", turn)
        hold(
            row.legal - row.switches == {"wrap"},
            f"{row.where}: of the moves only wrap open",
            sorted(row.legal - row.switches),
        )
        hold("switch chansey" in row.switches, f"{row.where}: switch chansey open", "closed")


@case
def C22(game: Game) -> None:
    for turn in (3, 6):
        for player, side in (("p1", "opp"), ("p2", "own")):
            row = game.row(player, turn)
            hold(
                row.volatile(side, "partiallytrapped"),
                f"{row.where}: {side}_volatiles with partiallytrapped",
                "without",
            )
    for player, side in (("p1", "opp"), ("p2", "own")):
        row = game.row(player, 1)
        hold(
            not row.volatile(side, "partiallytrapped"),
            f"{row.where}: {side}_volatiles without partiallytrapped",
            "with",
        )


@case
def C25(game: Game) -> None:
    six = sorted(["garchomp", "snorlax", "blissey", "gengar", "mew", "lucario"])
    stands = {
        "p1": {1: "gengar", 2: "gengar", 3: "mew", 4: "mew", 5: "lucario", 6: "lucario"},
        "p2": {1: "gengar", 2: "gengar", 3: "garchomp", 4: "garchomp", 5: "snorlax", 6: "snorlax"},
    }
    for player in ("p1", "p2"):
        listed = sorted(game.row(player, 0, "preview").seen["opp_species"])
        hold(listed == six, f"{player} preview: opp_species {six}", listed)
        for row in game.rows(player, phase="turn"):
            value_is(row, "opp_species", None, stands[player][row.turn])


@case
def C27(game: Game) -> None:
    if game.refused:
        hold(refused_by_name(game), "a row, or refused by name", game.refused)
        return
    for turn, chosen in (
        (1, "surf"),
        (3, "thunderbolt"),
    ):  # moves five and six, or what a larger choice of slots would say
        row = game.row("p1", turn)
        label_is(row, "none", f"observed {chosen}")
        hold("switch mew" not in row.legal, f"{row.where}: switch mew closed, it stands there", "open")
    for turn, label in ((2, "recover"), (4, "psychic"), (5, "switch snorlax")):
        label_is(game.row("p1", turn), f"observed {label}")


@case
def C28(game: Game) -> None:
    label_is(game.row("p1", 2, "revival"), "observed switch magikarp")
    for player, side in (("p1", "own"), ("p2", "opp")):
        row = game.row(player, 3)
        value_is(row, f"{side}_fainted", "magikarp", False)
        value_is(row, f"{side}_hp", "magikarp", 0.5)
        value_is(row, f"{side}_hp", "blissey", 1.0)
        hold(row.seen[f"{side}_alive"] == 3, f"{row.where}: {side}_alive 3", row.seen[f"{side}_alive"])


@case
def C33(game: Game) -> None:
    row = game.row("p1", 10)
    hold("destinybond" in row.legal, f"{row.where}: destinybond open", "closed")
    hold(
        row.pp_used("own", "destinybond") == 1,
        f"{row.where}: own_pp_used of destinybond 1",
        row.pp_used("own", "destinybond"),
    )


@case
def C35(game: Game) -> None:
    for player in ("p1", "p2"):
        row = game.row(player, 2)
        hold(not row.switches, f"{row.where}: switches closed", sorted(row.switches))
        hold(bool(row.legal), f"{row.where}: moves open", "nothing open")
        for turn in (1, 3):
            row = game.row(player, turn)
            hold(bool(row.switches), f"{row.where}: switches open", "closed")


@case
def C36(game: Game) -> None:
    for turn, right in ((1, True), (2, False), (3, True), (4, False)):
        row = game.row("p1", turn)
        hold(
            ("gigatonhammer" in row.legal) == right,
            f"{row.where}: gigatonhammer {'open' if right else 'closed'}",
            "closed" if right else "open",
        )


@case
def C38(game: Game) -> None:
    for player, side in (("p1", "own"), ("p2", "opp")):
        for turn in range(2, 7):
            row = game.row(player, turn)
            value_is(row, f"{side}_type1", "corviknight", "flying")
            value_is(row, f"{side}_type2", "corviknight", "steel")
            value_is(row, f"{side}_tera", "corviknight", "stellar")


@case
def C49(game: Game) -> None:
    row = game.row("p2", 1, "forced_pivot")
    value_is(row, "own_species", None, "palafin")
    label_is(row, "observed switch corviknight")


@case
def C54(game: Game) -> None:
    if game.refused:
        hold(refused_by_name(game), "two battles, or refused by name", game.refused)
        return
    for player, rewards in (("p1", [-1.0, 1.0]), ("p2", [1.0, -1.0])):
        mine = [t for t in game.trajectories if t["player"] == player]
        ids = {t["replay_id"] for t in mine}
        hold(
            len(mine) == 2 and len(ids) == 2,
            f"{player}: two battles, or refused by name",
            f"{len(mine)} trajectories of {len(ids)} battles",
        )
        hold(
            [t["total_reward"] for t in mine] == rewards,
            f"{player}: total_reward {rewards}",
            [t["total_reward"] for t in mine],
        )
        for trajectory in mine:
            turns = [step["observation"]["turn"] for step in trajectory["steps"]]
            hold(turns == sorted(set(turns)) and turns[0] == 1, f"{player}: each battle begins with turn 1 once", turns)
