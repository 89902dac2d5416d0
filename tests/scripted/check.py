"""Compares converted rows with the simulator's state and requests, field by field, for both players."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATS = ["atk", "def", "spa", "spd", "spe", "accuracy", "evasion"]
# in the order of docs/schema.md, field own_volatiles
VOLATILES = (
    "substitute confusion leechseed taunt encore disable torment attract yawn curse nightmare partiallytrapped "
    "trapped ingrain aquaring magnetrise healblock throatchop focusenergy charge saltcure destinybond perishsong "
    "flashfire slowstart mustrecharge charging locked transform smackdown"
).split()
# the simulator's names of the same; None: has no field
ALIAS = {
    "lockedmove": "locked",
    "rollout": "locked",
    "iceball": "locked",
    "uproar": "locked",
    "twoturnmove": "charging",
    "noretreat": "trapped",
    "octolock": "trapped",
    "fairylock": None,
    "bide": None,
    "residualdmg": None,
    "dragoncheer": "focusenergy",
    "gmaxchistrike": "focusenergy",
}
SIDE = {
    "stealth_rock": "stealthrock",
    "spikes": "spikes",
    "toxic_spikes": "toxicspikes",
    "sticky_web": "stickyweb",
    "reflect": "reflect",
    "light_screen": "lightscreen",
    "aurora_veil": "auroraveil",
    "tailwind": "tailwind",
    "safeguard": "safeguard",
    "mist": "mist",
}
GIMMICKS = {
    "": "none",
    "terastallize": "tera",
    "zmove": "z",
    "max": "dynamax",
    "ultra": "mega",
    "megax": "mega",
    "megay": "mega",
}
ONE_ROUNDING = 0.0211  # logs show HP in hundredths, old ones in 48ths


@dataclass(frozen=True)
class Difference:
    player: str
    turn: int
    phase: str
    field: str
    got: object
    truth: object
    note: bool = False

    def __str__(self) -> str:
        text = f"{self.player} turn {self.turn} {self.phase}: {self.field} {self.got}, truly {self.truth}"
        return f"({text})" if self.note else text


def to_id(name: object) -> str:
    return re.sub("[^a-z0-9]", "", str(name).lower())


def actions(step: dict) -> list[str]:
    """Names of the ten actions: the active Pokémon's four moves, then `switch X` for each own slot."""
    seen = step["observation"]
    at = seen["own_active"].index(True) if True in seen["own_active"] else 0
    return [*seen["own_moves"][at * 4 : at * 4 + 4], *("switch " + name for name in seen["own_species"])]


def chosen(step: dict) -> str:
    return actions(step)[step["action_target"] + (4 if step["action_type"] else 0)]


def opened(step: dict, key: str = "legal") -> set[str]:
    return {name for name, flag in zip(actions(step), step.get(key) or [], strict=False) if flag}


def species_in(details: str) -> str:
    return to_id(details.split(",")[0])


def true_choice(asked: dict) -> tuple[str, str]:
    """What was chosen, by name, and its gimmick."""
    request, words = asked["request"], asked["choice"].split()
    if words[0] == "move":
        moves = request["active"][0]["moves"]
        name = moves[int(words[1]) - 1]["id"] if words[1].isdigit() else to_id(words[1])
        return name, words[2] if len(words) > 2 else ""
    if words[0] in ("switch", "team"):
        team, who = request["side"]["pokemon"], " ".join(words[1:])
        if words[0] == "team":
            who = who[0]
        if who.isdigit():
            mon = team[int(who) - 1]
        else:
            mon = next(m for m in team if to_id(who) in (to_id(m["ident"].split(": ", 1)[1]), species_in(m["details"])))
        return "switch " + species_in(mon["details"]), ""
    return asked["choice"], ""


def kind_of_request(request: dict) -> str:
    return "preview" if request.get("teamPreview") else "forced" if request.get("forceSwitch") else "turn"


def kind_of_row(step: dict) -> str:
    phase = step["observation"]["phase"]
    return phase if phase in ("turn", "preview") else "forced"


def same(a: str, b: str) -> bool:
    a, b = to_id(a), to_id(b)
    return a == b or ("hiddenpower" in a and "hiddenpower" in b)


def compare(played: dict, trajectories: list[dict], requests: bool) -> list[Difference]:
    """Differences and notes of one battle; `requests`: the rows were made with the players' requests."""
    out: list[Difference] = []
    for trajectory in trajectories:
        player = trajectory["player"]
        rows: dict[tuple[int, str], list[dict]] = {}
        for step in trajectory["steps"]:
            rows.setdefault((step["observation"]["turn"], kind_of_row(step)), []).append(step)
        for asked in played[player]:
            if asked["rejected"]:
                continue
            turn, kind = asked["state"]["turn"], kind_of_request(asked["request"])
            waiting = rows.get((turn, kind))
            if not waiting:
                out.append(Difference(player, turn, kind, "row", "none", asked["choice"]))
                continue
            one_row(out, played, trajectory, waiting.pop(0), asked, turn, kind, requests)
        for (turn, kind), left in rows.items():
            for step in left:  # more rows than requests; the script may have ended before the last one was answered
                label = step.get("label", "observed")
                what = chosen(step) if label == "observed" else label
                out.append(Difference(player, turn, kind, "row", f"one more: {what}", "none", note=label != "observed"))
    return out


def one_row(out, played, trajectory, step, asked, turn, kind, requests) -> None:
    player = trajectory["player"]
    other = "p2" if player == "p1" else "p1"
    gen = int(played["formatid"][3])
    seen, state, request = step["observation"], asked["state"], asked["request"]

    def wrong(field, got, truth, note=False):
        out.append(Difference(player, turn, kind, field, got, truth, note))

    # the label
    want, gimmick = true_choice(asked)
    free = asked["choice"] == "default"
    label = step.get("label", "observed")
    if label == "observed":
        got = chosen(step)
        if not free and not same(got, want) and not (want.startswith("switch") and got.startswith(want)):
            wrong("label", got, want)
        truth = GIMMICKS.get(gimmick, gimmick)
        if step.get("gimmick", "none") != truth:
            wrong("gimmick", step.get("gimmick", "none"), truth)
    elif label == "censored" and not free and not any(same(name, want) for name in opened(step, "candidates")):
        wrong("candidates", sorted(opened(step, "candidates")), want)
    else:
        wrong("label", label, want, note=True)

    # what was open
    names, legal = actions(step), opened(step)
    team = request["side"]["pokemon"]
    if kind == "turn":
        active = request["active"][0]
        offered = {m["id"] for m in active["moves"] if not m.get("disabled")}
        for move in (m["id"] for m in active["moves"]):
            if move in names[:4] and move in offered and move not in legal:
                wrong("legal", f"{move} closed", "open")
            if move in legal and move not in offered:
                wrong("legal", f"{move} open", "disabled", note=True)
        switches = (
            set()
            if active.get("trapped")
            else {
                "switch " + species_in(m["details"])
                for m in team
                if not m["active"] and not m["condition"].endswith("fnt")
            }
        )
    else:
        reviving = any(m.get("reviving") for m in team)
        switches = {
            "switch " + species_in(m["details"])
            for m in team
            if kind == "preview" or (not m["active"] and m["condition"].endswith("fnt") == reviving)
        }
    mine = {name for name in legal if name.startswith("switch")}
    for name in sorted(switches - mine):
        if name in names:
            wrong("legal", f"{name} closed", "open")
        elif kind != "preview":
            wrong("legal", f"{name} not in the own team", "open", note=True)
    for name in sorted(mine - switches - {"switch none"}):
        wrong("legal", f"{name} open", "not offered", note=True)

    # field and sides
    if seen["weather"] != (state["weather"] or "none"):
        wrong("weather", seen["weather"], state["weather"] or "none")
    if seen["terrain"] != (state["terrain"] or "none"):
        wrong("terrain", seen["terrain"], state["terrain"] or "none")
    imputed = (trajectory.get("imputed") or "").split()
    for side, who in (("own", player), ("opp", other)):
        truth = state[who]
        for name, condition in SIDE.items():
            got, real = seen[f"{side}_{name}"], truth["conditions"].get(condition, 0)
            if name in ("spikes", "toxic_spikes"):
                if got != real:
                    wrong(f"{side}_{name}", got, real)
            elif bool(got) != bool(real) and not (
                gen == 1 and name in ("reflect", "light_screen", "mist")
            ):  # volatiles there
                wrong(f"{side}_{name}", got, real)
        slot = truth["slot"][0] if truth["slot"] else []
        if bool(seen[f"{side}_wish"]) != ("wish" in slot):
            wrong(f"{side}_wish", seen[f"{side}_wish"], slot)
        if bool(seen[f"{side}_future_sight"]) != ("futuremove" in slot):
            wrong(f"{side}_future_sight", seen[f"{side}_future_sight"], slot)
        alive = sum(not m["fainted"] for m in truth["team"])
        if seen[f"{side}_alive"] != alive:
            wrong(f"{side}_alive", seen[f"{side}_alive"], alive)
        mon = next((m for m in truth["team"] if m["active"]), None)
        if kind == "preview" or mon is None or mon["fainted"]:
            continue
        boosts = [mon["boosts"].get(name, 0) for name in STATS]
        if seen[f"{side}_boosts"] != boosts:
            wrong(f"{side}_boosts", seen[f"{side}_boosts"], boosts)
        real = {ALIAS.get(v, v) for v in mon["volatiles"]} & set(VOLATILES) | (
            {"transform"} if mon["transformed"] else set()
        )
        got = {name for name, flag in zip(VOLATILES, seen[f"{side}_volatiles"], strict=False) if flag}
        if side == "own" and kind == "turn" and len(request["active"][0]["moves"]) == 1:
            got, real = got - {"locked"}, real - {"locked"}  # the request offers one move: both names are fair
        if got != real:
            wrong(f"{side}_volatiles", sorted(got - real) or "-", f"{sorted(real - got) or '-'} besides what both have")
        if True not in seen[f"{side}_active"]:
            wrong(f"{side}_active", "nobody", mon["species"])
        else:
            the_active(wrong, seen, side, truth, mon, gen, side == "own" and not requests and imputed)
        for bench in truth["team"]:
            places = [
                j
                for j, name in enumerate(seen[f"{side}_species"])
                if name == bench["species"] and not seen[f"{side}_active"][j]
            ]
            if bench["active"] or len(places) != 1:
                continue
            j, who_ = places[0], f" of {bench['species']} (bench)"
            if seen[f"{side}_fainted"][j] != bench["fainted"]:
                wrong(f"{side}_fainted" + who_, seen[f"{side}_fainted"][j], bench["fainted"])
            if bench["fainted"]:
                continue
            if abs(seen[f"{side}_hp"][j] - bench["hp"] / bench["maxhp"]) > ONE_ROUNDING:
                wrong(f"{side}_hp" + who_, seen[f"{side}_hp"][j], round(bench["hp"] / bench["maxhp"], 3))
            if seen[f"{side}_status"][j] != (bench["status"] or "none"):
                wrong(f"{side}_status" + who_, seen[f"{side}_status"][j], bench["status"] or "none")
            item = seen[f"{side}_item"][j]
            filled = side == "own" and not requests and was_filled_in(imputed, bench, "item")
            if item not in ("unknown", bench["item"] or "none") and gen > 1 and not filled:
                wrong(f"{side}_item" + who_, item, bench["item"] or "none")

    # moves and PP
    if kind == "turn" and True in seen["own_active"]:
        mon = next(m for m in state[player]["team"] if m["active"])
        at = seen["own_active"].index(True) * 4
        left = {name: most - pp for name, pp, most, _ in mon["moves"]}
        for j in range(at, at + 4):
            name = seen["own_moves"][j]
            if name in left and seen["own_pp_used"][j] != left[name]:
                wrong(f"own_pp_used of {name}", seen["own_pp_used"][j], left[name])
            guessed = not requests and (mon["transformed"] or was_filled_in(imputed, mon, name))
            if name not in ("unknown", "none") and not guessed and not any(same(name, real) for real in left):
                wrong("own_moves", name, sorted(left))
    mon = next((m for m in state[other]["team"] if m["active"]), None)
    if mon and True in seen["opp_active"] and not mon["illusion"]:
        at = seen["opp_active"].index(True) * 4
        left = {name: most - pp for name, pp, most, _ in mon["moves"]}
        for j in range(at, at + 4):
            name = seen["opp_moves"][j]
            if name in ("unknown", "none"):
                continue
            if not any(same(name, real) for real in left):
                wrong("opp_moves", name, sorted(left))
            if name in left and seen["opp_pp_used"][j] != left[name]:
                wrong(f"opp_pp_used of {name}", seen["opp_pp_used"][j], left[name])


def the_active(wrong, seen, side, truth, mon, gen, imputed) -> None:
    i = seen[f"{side}_active"].index(True)
    disguised = mon["illusion"] is not None and side == "opp"
    species = next(m["species"] for m in truth["team"] if m["name"] == mon["illusion"]) if disguised else mon["species"]
    if seen[f"{side}_species"][i] != species:
        wrong(f"{side}_species", seen[f"{side}_species"][i], species)
    if not disguised:
        got = [name for name in (seen[f"{side}_type1"][i], seen[f"{side}_type2"][i]) if name != "none"]
        real = [to_id(name) for name in mon["types"] if name][:2]
        if got != real:
            wrong(f"{side}_type1, {side}_type2", got, real)
        for what, first in (("item", 2), ("ability", 3)):
            filled = imputed and was_filled_in(imputed, mon, what)
            got = seen[f"{side}_{what}"][i]
            if got not in ("unknown", mon[what] or "none") and gen >= first and not filled:
                wrong(f"{side}_{what}", got, mon[what] or "none")
    if abs(seen[f"{side}_hp"][i] - mon["hp"] / mon["maxhp"]) > ONE_ROUNDING:
        wrong(f"{side}_hp", seen[f"{side}_hp"][i], round(mon["hp"] / mon["maxhp"], 3))
    if seen[f"{side}_status"][i] != (mon["status"] or "none"):
        wrong(f"{side}_status", seen[f"{side}_status"][i], mon["status"] or "none")


def was_filled_in(imputed: list[str], mon: dict, what: str) -> bool:
    """`convert` guessed it for the own team, under the name of the forme that was brought."""
    names = [entry.split(".")[0] for entry in imputed if entry.split(".")[1] == what]
    return any(
        mine[:5] == name[:5] for mine in (mon["base"], mon["species"]) for name in names
    )  # formes share their beginning
