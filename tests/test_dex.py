"""Static tables: right in every generation, complete, and made by the script that says so."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from command_line import run_python

import poke_bc
from poke_bc.contract.schema import load_schema
from poke_bc.dex import Dex, dex, to_id
from poke_bc.dex.make_dex import SHOWDOWN_VERSION, dump, files

PACKAGE = Path(poke_bc.__file__).parent
SUMS = PACKAGE / "dex" / "tables" / "SHA256SUMS"


def test_the_committed_files_are_those_that_were_made() -> None:
    listed = dict(reversed(line.split("  ")) for line in SUMS.read_text("utf-8").splitlines())
    there = {path.relative_to(PACKAGE).as_posix() for folder in ("dex/tables", "contract/schemas/vocabulary")
             for path in (PACKAGE / folder).iterdir()} - {SUMS.relative_to(PACKAGE).as_posix()}
    assert there == set(listed)
    for path, digest in listed.items():
        assert hashlib.sha256((PACKAGE / path).read_bytes()).hexdigest() == digest, path
    assert sum((PACKAGE / path).stat().st_size for path in listed) < 1_200_000


def test_the_script_makes_the_committed_files() -> None:
    showdown = Path(os.environ.get("SHOWDOWN", "node_modules/pokemon-showdown"))
    if not showdown.exists() or shutil.which("node") is None:
        pytest.skip(f"DEX NOT MADE ANEW: needs node and SHOWDOWN=FOLDER of npm's pokemon-showdown@{SHOWDOWN_VERSION}")
    for path, data in files(dump(showdown)).items():
        committed = (PACKAGE / path).read_bytes()
        if path.endswith(".gz"):  # other versions of zlib pack other bytes
            data, committed = gzip.decompress(data), gzip.decompress(committed)
        if not path.endswith("SHA256SUMS"):
            assert data == committed, path


def all_names(attribute: str) -> set[str]:
    return {name for gen in range(1, 10) for name in getattr(dex(gen), attribute)}


def test_vocabularies_hold_every_name_of_every_generation() -> None:
    vocabularies = {name: set(found.names or ()) for name, found in load_schema("singles").vocabularies.items()}
    assert all_names("species_names") <= vocabularies["species"]
    assert all_names("move_names") | {"recharge", "struggle", "hiddenpowerfire", "gmaxwildfire", "maxguard"} <= (
        vocabularies["move"])
    assert all_names("items") <= vocabularies["item"]
    assert all_names("types") | {"stellar", "typeless", "bird"} == vocabularies["type"]
    assert {"florgeswhite", "gastrodoneast", "pikachugmax", "kyogreprimal", "mimikyubustedtotem", "charizardmegax",
            "darmanitanzen", "unownb", "basculegionf"} <= vocabularies["species"]
    for gen in range(3, 10):
        for name in dex(gen).species_names:
            found = dex(gen).species(name)
            assert found is not None
            assert {*found.abilities} <= vocabularies["ability"]
            assert {*found.types} <= vocabularies["type"]


@pytest.mark.parametrize(("gen", "name", "types", "stats"), [
    (1, "magnemite", ("electric",), (25, 35, 70, 95, 95, 45)), (2, "magnemite", ("electric", "steel"),
                                                                (25, 35, 70, 95, 55, 45)),
    (5, "clefable", ("normal",), (95, 70, 73, 85, 90, 60)), (6, "clefable", ("fairy",), (95, 70, 73, 95, 90, 60)),
    (9, "ironvaliant", ("fairy", "fighting"), (74, 130, 90, 120, 60, 116)),
    (6, "charizardmegax", ("fire", "dragon"), (78, 130, 111, 130, 85, 100)),
])
def test_species_are_those_of_their_generation(gen: int, name: str, types: tuple[str, ...],
                                               stats: tuple[int, ...]) -> None:
    found = dex(gen).species(name)
    assert found is not None
    assert (found.types, found.base_stats) == (types, stats)


@pytest.mark.parametrize(("gen", "name", "type_", "category", "power", "accuracy", "pp"), [
    (1, "bite", "normal", "physical", 60, 1.0, 40), (2, "bite", "dark", "special", 60, 1.0, 40),
    (4, "bite", "dark", "physical", 60, 1.0, 40), (1, "blizzard", "ice", "special", 120, 0.9, 8),
    (2, "blizzard", "ice", "special", 120, 0.7, 8), (9, "blizzard", "ice", "special", 110, 0.7, 8),
    (3, "shadowball", "ghost", "physical", 80, 1.0, 24), (4, "shadowball", "ghost", "special", 80, 1.0, 24),
    (5, "thunderbolt", "electric", "special", 95, 1.0, 24), (6, "thunderbolt", "electric", "special", 90, 1.0, 24),
    (1, "tackle", "normal", "physical", 35, 0.95, 56), (9, "aerialace", "flying", "physical", 60, 1.0, 32),
    (2, "growl", "normal", "status", 0, 1.0, 61),
])
def test_moves_are_those_of_their_generation(gen: int, name: str, type_: str, category: str, power: int,
                                             accuracy: float, pp: int) -> None:
    move = dex(gen).move(name)
    assert move is not None
    assert (move.type, move.category, move.power, move.accuracy, move.pp) == (type_, category, power, accuracy, pp)


def test_what_a_move_does_beside_its_power() -> None:
    def having(key: str) -> set[str]:
        return {name for name in dex(9).move_names if getattr(dex(9).move(name), key)}

    assert {"uturn", "voltswitch", "batonpass", "partingshot", "teleport"} <= having("self_switch")
    assert {"outrage", "petaldance", "uproar"} <= having("locks")
    assert having("level_damage") == {"seismictoss", "nightshade"}
    assert having("ohko") == {"fissure", "guillotine", "horndrill", "sheercold"}
    assert having("attack_of_target") == {"foulplay"}
    assert {"psyshock", "psystrike", "secretsword"} == having("defence_stat")
    assert {"feint", "hyperspacefury", "shadowforce"} <= having("breaks_protect")
    table = dex(9)
    for name, flag in (("hyperbeam", "recharge"), ("solarbeam", "charge"), ("boomburst", "sound")):
        move = table.move(name)
        assert move is not None
        assert flag in move.flags
    bullet, drain, brave = (table.move(name) for name in ("bulletseed", "gigadrain", "bravebird"))
    assert bullet is not None
    assert drain is not None
    assert brave is not None
    assert (bullet.hits, drain.drain, round(brave.recoil, 2)) == ((2, 5), 0.5, 0.33)


@pytest.mark.parametrize(("gen", "attack", "types", "factor"), [
    (1, "ghost", ("psychic",), 0), (2, "ghost", ("psychic",), 2), (1, "bug", ("poison",), 2),
    (2, "bug", ("poison",), 0.5), (5, "dark", ("steel",), 0.5), (6, "dark", ("steel",), 1),
    (6, "dragon", ("fairy",), 0), (9, "ground", ("flying",), 0),
    (9, "ice", ("dragon", "ground"), 4), (9, "stellar", ("water",), 1), (9, "typeless", ("ghost",), 1),
])
def test_types_are_those_of_their_generation(gen: int, attack: str, types: tuple[str, ...], factor: float) -> None:
    assert dex(gen).effectiveness(attack, types) == factor


def test_learnsets_follow_pre_evolutions_and_formes_up_to_the_generation() -> None:
    assert "earthquake" in dex(4).learnset("garchomp")
    assert "sandattack" in dex(4).learnset("garchomp")  # of Gible
    assert dex(9).learnset("gastrodoneast") == dex(9).learnset("gastrodon") > {"recover", "earthpower"}
    assert "scald" in dex(5).learnset("gastrodon")
    assert "scald" not in dex(4).learnset("gastrodon")
    assert dex(1).learnset("tauros") >= {"bodyslam", "hyperbeam", "earthquake", "blizzard"}
    assert "wildcharge" not in dex(1).learnset("tauros")
    assert dex(9).learnset("nothing") == frozenset()
    assert "dracometeor" in dex(9).learnset("charizardmegax") or "dragonclaw" in dex(9).learnset("charizardmegax")


def test_items_know_what_they_change() -> None:
    assert dex(9).choice_items == {"choiceband", "choicespecs", "choicescarf"}
    assert dex(3).choice_items == {"choiceband"}
    assert dex(6).items["charizarditex"].mega == {"charizard": "charizardmegax"}
    assert dex(7).z_moves["normaliumz"].z_type == "normal"
    assert (dex(7).z_moves["pikaniumz"].z_from, dex(7).z_moves["pikaniumz"].z_users) == ("volttackle", ("pikachu",))
    assert not dex(6).z_moves
    assert dex(9).items["splashplate"].plate == "water"


def test_names_of_old_logs_and_of_requests_are_found() -> None:
    def move(name: str) -> str | None:
        found = dex(7).move(name)
        return found and found.name

    assert [move(name) for name in ("hijumpkick", "return102", "hiddenpowerfire60", "conversion2", "nothing")] == [
        "highjumpkick", "return", "hiddenpowerfire", "conversion2", None]
    found = dex(9).species("taurospaldeafire")
    assert found is not None
    assert found.name == "taurospaldeablaze"
    assert dex(9).species("nothing") is None
    assert dex(4).species("greattusk") is None


def test_ids_are_made_as_showdown_makes_them() -> None:
    assert [to_id(text) for text in ("Mr. Mime-Galar", "Nidoran-F", "Flabébé", "U-turn", "")] == [
        "mrmimegalar", "nidoranf", "flabb", "uturn", ""]


def test_there_are_nine_generations_each_read_once() -> None:
    assert dex(5) is dex(5)
    assert isinstance(dex(5), Dex)
    for gen in (0, 10):
        with pytest.raises(ValueError, match="none of 1 to 9"):
            dex(gen)


def test_the_tables_load_nothing_heavy() -> None:
    done = run_python("import sys\nfrom poke_bc.dex import dex\ndex(9).move('scald'), dex(9).species('pikachu')\n"
                      "print({'torch', 'polars', 'pyarrow', 'numpy', 'poke_env'} & sys.modules.keys())")
    assert done.stdout == "set()\n", done.stderr
