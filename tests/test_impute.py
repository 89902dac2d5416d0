"""What is filled in: sets that exist, that agree with all that was shown, and that the battle does not contradict."""

from __future__ import annotations

import gzip
import json
import os
import runpy
import shutil
from collections import Counter
from pathlib import Path

import pytest

from poke_bc.dex import dex
from poke_bc.dex.published import published_sets, random_sets
from poke_bc.showdown.convert import convert
from poke_bc.showdown.corpus import Corpus, RevealedSets, ShownSet
from poke_bc.showdown.first_pass import FirstPass, first_pass
from poke_bc.showdown.impute import inferred_team
from poke_bc.showdown.record import BattleRecord
from poke_bc.showdown.state import Mon, OwnSet

START = ["|gametype|singles", "|player|p1|a||", "|player|p2|b||", "|teamsize|p1|6", "|teamsize|p2|6", "|start"]


def read(lines: str, format_: str = "gen9randombattle") -> FirstPass:
    """A short log from the leads on."""
    text = [*START[:3], f"|gen|{format_[3]}", *START[3:], *(line.strip() for line in lines.strip().splitlines())]
    return first_pass(BattleRecord("x-1", format_, tuple(text)))


def absent(lines: str, place: int = 0, player: str = "p1", format_: str = "gen9randombattle") -> frozenset[str]:
    """What silence excludes for a Pokémon of a player."""
    return read(lines, format_).teams[player].mons[place].absent


def filled(first: FirstPass, corpus: Corpus | None = None, seed: str = "s", player: str = "p1") -> list[Mon]:
    return inferred_team(first.teams[player], dex(first.gen), (corpus or Corpus()).others(first.revealed), seed)


def own_set(mon: Mon) -> OwnSet:
    assert mon.own_set is not None
    return mon.own_set


LEADS = """
    |switch|p1a: Garchomp|Garchomp, L74|100/100
    |switch|p2a: Blissey|Blissey, L83|100/100
    |turn|1
    """


# --- published sets -------------------------------------------------------------------------------------------------


def test_a_random_battle_is_filled_from_its_published_sets_alone() -> None:
    first = read(LEADS + "|move|p1a: Garchomp|Scale Shot|p2a: Blissey\n|-damage|p2a: Blissey|60/100\n|turn|2")
    published = published_sets("gen9randombattle", 9)
    assert published is not None
    fits = {(each.moves, each.item, each.ability, each.tera) for each in published.of("garchomp")
            if "scaleshot" in each.moves}
    got = Counter((frozenset(own.moves), own.item, own.ability, own.tera)
                  for own in (own_set(filled(first, seed=str(seed))[0]) for seed in range(200)))
    assert got.keys() <= fits
    assert len(got) > len(fits) / 2  # a draw, not always the most likely one


def test_draws_come_up_as_often_as_they_do_in_truth() -> None:
    published = published_sets("gen9randombattle", 9)
    assert published is not None
    sets = published.of("garchomp")
    truth = sum(each.weight for each in sets if "swordsdance" in each.moves) / sum(each.weight for each in sets)
    first = read(LEADS)
    drawn = sum("swordsdance" in own_set(filled(first, seed=str(seed))[0]).moves for seed in range(1000)) / 1000
    assert drawn == pytest.approx(truth, abs=0.05)


def test_shown_facts_decide_the_set() -> None:
    first = read(LEADS + "|-damage|p2a: Blissey|90/100|[from] item: Rocky Helmet|[of] p1a: Garchomp\n|turn|2")
    for seed in range(20):
        own = own_set(filled(first, seed=str(seed))[0])
        assert own.item == "rockyhelmet"
        assert "item" not in own.imputed
        assert "scaleshot" not in own.moves  # the other role's


@pytest.mark.parametrize(("format_", "gen"), [(f"gen{gen}randombattle", gen) for gen in range(1, 10)])
def test_published_sets_hold_what_their_generation_has(format_: str, gen: int) -> None:
    tables = dex(gen)
    published = published_sets(format_, gen)
    assert published is not None
    for species in ("alakazam", "snorlax", "gengar"):
        for each in published.of(species):
            known = tables.species(species)
            assert known is not None
            assert all(tables.move(move) for move in each.moves)
            assert len(each.moves) <= 4
            assert each.item in tables.items or each.item == "none"
            assert each.ability in known.abilities if gen >= 3 else each.ability == "none"
            assert (each.tera == "none") == (gen < 9)


def test_variants_and_old_names_of_a_format_take_the_same_sets() -> None:
    assert published_sets("gen9randombattleblitz", 9).of("garchomp") == (  # type: ignore[union-attr]
        published_sets("gen9unratedrandombattle", 9).of("garchomp"))  # type: ignore[union-attr]
    assert published_sets("randombattle", 6).of("garchomp")  # type: ignore[union-attr]
    assert published_sets("gen9ou", 9) is None


def test_a_team_has_one_stealth_rock() -> None:
    """Both have it in most of their sets; what one has shown, the other does not get."""
    lines = """
        |switch|p1a: Tyranitar|Tyranitar, L76|100/100
        |switch|p2a: Blissey|Blissey, L83|100/100
        |-weather|Sandstorm|[from] ability: Sand Stream|[of] p1a: Tyranitar
        |turn|1
        |move|p1a: Tyranitar|Stealth Rock|p2a: Blissey
        |-sidestart|p2: b|move: Stealth Rock
        |turn|2
        |switch|p1a: Garchomp|Garchomp, L74|100/100
        |turn|3
        """
    first = read(lines)
    for seed in range(40):
        tyranitar, garchomp = filled(first, seed=str(seed))[:2]
        assert "stealthrock" in own_set(tyranitar).moves
        assert "stealthrock" not in own_set(garchomp).moves


# --- silence --------------------------------------------------------------------------------------------------------


def test_leftovers_that_never_healed_are_not_filled() -> None:
    hurt = "|move|p2a: Blissey|Seismic Toss|p1a: Garchomp\n|-damage|p1a: Garchomp|70/100\n"
    assert "leftovers" in absent(LEADS + hurt + "|\n|upkeep\n|turn|2")
    assert "leftovers" not in absent(LEADS + "|\n|upkeep\n|turn|2")  # nothing to heal
    residual = "|\n|-damage|p1a: Garchomp|94/100 tox|[from] psn\n|upkeep\n|turn|2"
    assert "leftovers" not in absent(LEADS + residual)  # hurt after its moment
    blocked = hurt + "|-start|p1a: Garchomp|move: Heal Block\n|\n|upkeep\n|turn|2"
    assert "leftovers" not in absent(LEADS + blocked)


def test_a_life_orb_that_never_hurt_is_not_filled() -> None:
    hit = "|move|p1a: Garchomp|Earthquake|p2a: Blissey\n|-damage|p2a: Blissey|50/100\n"
    assert "lifeorb" in absent(LEADS + hit + "|\n|upkeep\n|turn|2")
    missed = "|move|p1a: Garchomp|Outrage|p2a: Blissey|[miss]\n|-miss|p1a: Garchomp|p2a: Blissey\n|\n|upkeep\n|turn|2"
    assert "lifeorb" not in absent(LEADS + missed)
    assert "lifeorb" not in absent(LEADS + hit)  # the log ends before it would have hurt


def test_abilities_that_announce_themselves_are_not_filled_after_a_silent_entry() -> None:
    gyarados = LEADS.replace("Garchomp", "Gyarados")
    assert "intimidate" in absent(gyarados)
    own = own_set(filled(read(gyarados))[0])
    assert own.ability == "moxie"
    substitute = """
        |switch|p1a: Garchomp|Garchomp, L74|100/100
        |switch|p2a: Blissey|Blissey, L83|100/100
        |turn|1
        |-start|p2a: Blissey|Substitute
        |switch|p1a: Gyarados|Gyarados, L79|100/100
        |turn|2
        """
    assert "intimidate" not in absent(substitute, 1)


def test_weather_that_was_there_already_says_nothing_about_its_setters() -> None:
    sun = "|-weather|SunnyDay|[from] ability: Drought|[of] p2a: Torkoal\n"
    leads = """
        |switch|p2a: Torkoal|Torkoal, L86|100/100
        |switch|p1a: Ninetales|Ninetales, L83|100/100
        """
    assert "drought" not in absent(leads + sun + "|turn|1")
    assert "drought" in absent(leads + "|turn|1")


def test_two_moves_in_one_stint_exclude_choice_items() -> None:
    one, two = ("|move|p1a: Garchomp|Earthquake|p2a: Blissey\n", "|move|p1a: Garchomp|Outrage|p2a: Blissey\n")
    assert {"choiceband", "choicescarf"} <= absent(LEADS + one + "|turn|2\n" + two + "|turn|3")
    again = "|switch|p1a: Pikachu|Pikachu, L93|100/100\n|turn|3\n|switch|p1a: Garchomp|Garchomp, L74|100/100\n|turn|4\n"
    assert "choiceband" not in absent(LEADS + one + "|turn|2\n" + again + two + "|turn|5")
    called = one + "|move|p1a: Garchomp|Outrage|p2a: Blissey|[from] move: Copycat\n|turn|2"
    assert "choiceband" not in absent(LEADS + called)


def test_a_status_move_excludes_assault_vest() -> None:
    assert "assaultvest" in absent(LEADS + "|move|p1a: Garchomp|Swords Dance|p1a: Garchomp\n|turn|2")
    assert "assaultvest" not in absent(LEADS + "|move|p1a: Garchomp|Earthquake|p2a: Blissey\n|turn|2")


def test_contact_without_recoil_excludes_rocky_helmet_and_rough_skin() -> None:
    leads = LEADS.replace("Blissey", "Machamp")
    contact = "|move|p2a: Machamp|Close Combat|p1a: Garchomp\n|-damage|p1a: Garchomp|40/100\n|turn|2"
    assert {"rockyhelmet", "roughskin"} <= absent(leads + contact)
    distant = contact.replace("Close Combat", "Stone Edge")
    assert absent(leads + distant).isdisjoint({"rockyhelmet", "roughskin"})


def test_boots_are_excluded_by_rocks_that_hurt_and_proven_by_rocks_that_did_not() -> None:
    rocks = """
        |move|p2a: Blissey|Stealth Rock|p1a: Garchomp
        |-sidestart|p1: a|move: Stealth Rock
        |turn|2
        |switch|p1a: Gyarados|Gyarados, L79|100/100
        """
    assert "heavydutyboots" in absent(LEADS + rocks + "|-damage|p1a: Gyarados|75/100|[from] Stealth Rock\n|turn|3", 1)
    first = read(LEADS + rocks + "|turn|3")
    assert first.teams["p1"].mons[1].shown.item == "heavydutyboots"
    assert "item" not in own_set(filled(first)[1]).imputed


def test_berries_that_were_not_eaten_are_excluded() -> None:
    low = "|move|p2a: Machamp|Stone Edge|p1a: Garchomp\n|-damage|p1a: Garchomp|20/100\n|\n|upkeep\n|turn|2"
    assert {"sitrusberry", "salacberry"} <= absent(LEADS.replace("Blissey", "Machamp") + low)
    unnerved = LEADS.replace("Blissey", "Tyranitar") + low.replace("Machamp", "Tyranitar")
    assert "sitrusberry" not in absent(unnerved)


def test_a_hit_that_an_ability_prevents_excludes_it_unless_the_attacker_ignores_it() -> None:
    leads = LEADS.replace("Garchomp", "Bronzong")
    quake = "|move|p2a: Blissey|Earthquake|p1a: Bronzong\n|-damage|p1a: Bronzong|40/100\n|turn|2"
    assert "levitate" in absent(leads + quake)
    breaker = (leads + quake).replace("Blissey", "Excadrill")
    assert "levitate" not in absent(breaker)


def test_what_an_illusion_did_not_show_is_not_held_against_the_disguise() -> None:
    lines = """
        |switch|p1a: Gyarados|Gyarados, L79|100/100
        |switch|p2a: Blissey|Blissey, L83|100/100
        |turn|1
        |move|p2a: Blissey|Seismic Toss|p1a: Gyarados
        |-damage|p1a: Gyarados|70/100
        |replace|p1a: Zoroark|Zoroark, L84|70/100
        |-end|p1a: Zoroark|Illusion
        |turn|2
        """
    mons = {mon.details.species: mon for mon in read(lines).teams["p1"].mons}
    assert "gyarados" not in mons or mons["gyarados"].absent == frozenset()


def test_the_opponent_never_sees_what_silence_says() -> None:
    """It is collected by the first pass alone, which the second does not hand to anybody but the own side."""
    first = read(LEADS)
    for mon in filled(first):
        assert mon.absent == frozenset()


# --- other battles --------------------------------------------------------------------------------------------------


def corpus_of(*sets: ShownSet, format_: str = "gen9ou") -> Corpus:
    corpus = Corpus()
    for number, shown in enumerate(sets):
        corpus.add(RevealedSets(f"other-{number}", format_, (shown,)))
    return corpus


def test_a_set_of_another_battle_must_agree_with_all_that_is_known() -> None:
    lines = LEADS.replace("Garchomp", "Gyarados") + "|-heal|p1a: Gyarados|90/100|[from] item: Leftovers\n|turn|2"
    moves = ("dragondance", "earthquake", "icefang", "waterfall")
    corpus = corpus_of(
        *[ShownSet("gyarados", 100, moves, "choiceband", "moxie", "water")] * 9,
        ShownSet("gyarados", 100, ("protect", "scald", "taunt", "whirlpool"), "leftovers", "moxie", "fairy"))
    own = own_set(filled(read(lines, "gen9ou"), corpus)[0])
    assert own.moves == ("protect", "scald", "taunt", "whirlpool")
    assert (own.ability, own.tera) == ("moxie", "fairy")


def test_another_battles_item_that_this_one_excludes_is_not_taken() -> None:
    hit = "|move|p1a: Garchomp|Earthquake|p2a: Blissey\n|-damage|p2a: Blissey|50/100\n|\n|upkeep\n|turn|2"
    corpus = corpus_of(*[ShownSet("garchomp", 100, ("earthquake",), "lifeorb")] * 9,
                       ShownSet("garchomp", 100, ("earthquake",), "loadeddice"))
    assert {own_set(filled(read(LEADS + hit, "gen9ou"), corpus, str(seed))[0]).item for seed in range(9)} == {
        "loadeddice"}


def test_a_battle_is_never_filled_from_another_record_of_itself() -> None:
    """One record breaks off before the other; both are in the corpus under the same original id."""
    cut = LEADS.replace("Garchomp", "Gyarados")
    whole = read(cut + """
        |move|p1a: Gyarados|Waterfall|p2a: Blissey
        |-heal|p1a: Gyarados|90/100|[from] item: Leftovers
        |turn|2
        |switch|p1a: Azelf|Azelf, L82|100/100
        |turn|3
        """, "gen9ou")
    short = read(cut, "gen9ou")
    others = [RevealedSets("y", "gen9ou", (ShownSet("gyarados", 100, ("icefang",), "lifeorb"),
                                           ShownSet("snorlax", 100, ("rest",), "chestoberry")))]
    teams = []
    for records in (others, [short.revealed, *others], [whole.revealed, short.revealed, *others]):
        corpus = Corpus()
        for each in records:
            corpus.add(each)
        teams.append([(mon.details.species, own_set(mon)) for mon in filled(short, corpus)])
    assert teams[0] == teams[1] == teams[2]
    assert len(teams[0]) > 1
    assert "azelf" not in dict(teams[0])


# --- Pokémon that never came in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format_", "gen", "level"), [("gen9randombattle", 9, 74), ("gen1ou", 1, 100)])
def test_a_battle_converted_alone_has_whole_teams(format_: str, gen: int, level: int) -> None:
    """Nobody else's team is known; what never came in can be switched to all the same."""
    who = ("Garchomp, L74", "Blissey, L83") if gen == 9 else ("Chansey", "Tauros")
    lines = ["|gametype|singles", "|player|p1|a||", "|player|p2|b||", "|teamsize|p1|6", "|teamsize|p2|6", f"|gen|{gen}",
             "|start", f"|switch|p1a: A|{who[0]}|100/100", f"|switch|p2a: B|{who[1]}|100/100", "|turn|1",
             "|move|p2a: B|Body Slam|p1a: A", "|-damage|p1a: A|0 fnt", "|faint|p1a: A", "|-forfeited|a", "|win|b"]
    record = BattleRecord("x-1", format_, tuple(lines))
    first = first_pass(record)
    team, published = filled(first), published_sets(format_, gen)
    assert len({mon.base for mon in team}) == 6
    assert [mon.details.level for mon in team[1:]] == [level] * 5
    for mon in team[1:]:
        known = dex(gen).species(mon.details.species)
        assert known is not None
        assert "species" in own_set(mon).imputed
        if published:
            assert frozenset(own_set(mon).moves) in {each.moves for each in published.of(known.name)}
        else:
            assert random_sets(gen).of(known.name)
            assert set(own_set(mon).moves) <= dex(gen).learnset(known.name)
    rows = {each["player"]: each["steps"] for each in convert(record, Corpus(), first)}
    assert [sum(step["legal"][4:]) for step in rows["p1"]] == [5, 5]  # turn 1, then the switch that nobody saw
    assert rows["p1"][1]["observation"].phase == "forced_faint"


def test_where_any_ability_may_be_silence_proves_nothing() -> None:
    hit = "|move|p1a: Garchomp|Earthquake|p2a: Blissey\n|-damage|p2a: Blissey|50/100\n|\n|upkeep\n|turn|2"
    assert absent(LEADS + hit, format_="gen9balancedhackmons") == frozenset()
    assert "lifeorb" in absent(LEADS + hit, format_="gen9ou")


def test_moves_that_the_generation_does_not_have_are_never_filled() -> None:
    for seed in range(60):
        own = own_set(filled(read(LEADS, "gen9ou"), seed=str(seed))[0])
        assert not set(own.moves) & {"hiddenpower", "return", "frustration", "naturalgift", "secretpower"}
    own = own_set(filled(read(LEADS, "gen9nationaldex"), seed="s")[0])
    assert len(own.moves) == 4


def test_the_script_makes_the_committed_sets() -> None:
    """The first 100 of the teams of one format; all are made alike."""
    make_sets = runpy.run_path(str(Path(__file__).parents[1] / "data" / "dex" / "make_sets.py"))
    assert {path.name.split(".")[0] for path in make_sets["FOLDER"].iterdir()} == set(make_sets["FORMATS"])
    showdown = Path(os.environ.get("SHOWDOWN", "node_modules/pokemon-showdown"))
    if not showdown.exists() or shutil.which("node") is None:
        pytest.skip("SETS NOT MADE AGAIN: needs node and SHOWDOWN=FOLDER of npm's pokemon-showdown")
    made = json.loads(gzip.decompress(make_sets["table"](make_sets["dump"](showdown, "gen7randombattle", 100))))
    published = published_sets("gen7randombattle", 7)
    assert published is not None
    for species, rows in made["sets"].items():
        known = {(each.moves, each.item, each.ability): each.weight for each in published.of(species)}
        for moves, item, ability, _, count in rows:
            names = frozenset(made["names"][move] for move in moves)
            if not any(name.startswith("hiddenpower") for name in names):
                assert known[names, made["names"][item], made["names"][ability]] >= count
