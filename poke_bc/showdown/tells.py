"""Items and abilities that show themselves, and when. Source: Showdown's data/items.ts and data/abilities.ts.

Names of later generations do no harm in earlier ones: they only say what a Pokémon does not have.
"""

from __future__ import annotations

from functools import cache

Names = frozenset[str]


def _names(text: str) -> Names:
    return frozenset(text.split())


def _by(text: str) -> dict[str, Names]:
    """`fire: a b; water: c` as a dictionary."""
    pairs = (part.split(":") for part in text.split(";"))
    return {key.strip(): _names(names) for key, names in pairs}


# --- on entry -------------------------------------------------------------------------------------------------------

ENTRY_ITEMS = _names("airballoon")
ENTRY_ABILITIES = {
    4: _names("moldbreaker pressure slowstart"),
    5: _names("airlock cloudnine teravolt turboblaze unnerve"),
    6: _names("aurabreak darkaura fairyaura"),
    7: _names("comatose"),
    8: _names("asoneglastrier asonespectrier neutralizinggas"),
    9: _names("beadsofruin swordofruin tabletsofruin vesselofruin"),
}
"""First generation in which they announce themselves -> abilities."""
ENTRY_ABILITIES_WITH_FOE = {3: _names("intimidate"), 4: _names("download"), 5: _names("imposter")}
"""The same, but only if there is a foe that no Substitute protects."""


@cache
def announced(gen: int, *, with_foe: bool) -> Names:
    """The abilities that announce themselves on entry."""
    tables = (ENTRY_ABILITIES, ENTRY_ABILITIES_WITH_FOE) if with_foe else (ENTRY_ABILITIES,)
    return frozenset(name for table in tables for first, names in table.items() if first <= gen for name in names)


WEATHER_ABILITIES = {
    _names("drizzle"): _names("raindance"), _names("drought orichalcumpulse"): _names("sunnyday"),
    _names("sandstream"): _names("sandstorm"), _names("snowwarning"): _names("hail snowscape"),
    _names("primordialsea"): _names("primordialsea"), _names("desolateland"): _names("desolateland"),
    _names("deltastream"): _names("deltastream"),
}
"""Abilities -> the weather that they bring, silently where it already is."""
STRONG_WEATHER = _names("primordialsea desolateland deltastream")
TERRAIN_ABILITIES = {
    _names("electricsurge hadronengine"): "electricterrain", _names("grassysurge"): "grassyterrain",
    _names("mistysurge"): "mistyterrain", _names("psychicsurge"): "psychicterrain",
}
NOT_TRACED = _names("""
    asoneglastrier asonespectrier battlebond comatose commander disguise flowergift forecast gulpmissile hungerswitch
    iceface illusion imposter multitype neutralizinggas poisonpuppeteer powerconstruct powerofalchemy protosynthesis
    quarkdrive receiver rkssystem schooling shieldsdown stancechange terashift trace wonderguard zenmode zerotohero
    """)
BOOSTED_BY = {_names("protosynthesis"): "sunnyday", _names("quarkdrive"): "electricterrain"}
"""Ability -> the weather or terrain that makes it work without Booster Energy."""
BOOSTED = frozenset[str]().union(*BOOSTED_BY)

AT_ENTRY = announced(9, with_foe=True).union(["trace"], *WEATHER_ABILITIES, *TERRAIN_ABILITIES)

# --- when hit -------------------------------------------------------------------------------------------------------

HIT_ABILITIES = _names("cottondown electromorphosis sandspit seedsower stamina")
HIT_ABILITIES_OF = _by("""physical: weakarmor toxicdebris; special: ; contact: gooey ironbarbs lingeringaroma mummy
    perishbody roughskin tanglinghair""")
HIT_ABILITIES_BY_TYPE = _by("""
    dark: justified rattled; bug: rattled; ghost: rattled; water: watercompaction steamengine;
    fire: steamengine thermalexchange""")
IMMUNE_ABILITIES = _by("""
    ground: levitate eartheater; fire: flashfire wellbakedbody; water: dryskin stormdrain waterabsorb;
    electric: lightningrod motordrive voltabsorb; grass: sapsipper""")
"""Type of a move that did damage -> abilities that would have prevented it."""
LATER_IMMUNE = _names("lightningrod stormdrain")
"""Immune from generation 5."""
IMMUNE_BY_FLAG = _by("sound: soundproof; bullet: bulletproof; wind: windrider")
FIRST_STRIKE = _names("armortail dazzling queenlymajesty")
IGNORING = _names("moldbreaker teravolt turboblaze normalize")
"""Abilities of an attacker that make immunity say nothing."""
WHEN_HIT = HIT_ABILITIES.union(
    ["sturdy"], FIRST_STRIKE, *HIT_ABILITIES_OF.values(), *HIT_ABILITIES_BY_TYPE.values(), *IMMUNE_ABILITIES.values(),
    *IMMUNE_BY_FLAG.values())
HIT_ITEMS = _names("ejectbutton redcard")
HIT_ITEMS_OF = _by("physical: keeberry jabocaberry; special: marangaberry rowapberry; contact: rockyhelmet")
HIT_ITEMS_BY_TYPE = _by("water: absorbbulb luminousmoss; electric: cellbattery; ice: snowball; normal: chilanberry")
SUPER_EFFECTIVE = _names("enigmaberry weaknesspolicy")
RESIST_BERRIES = _by("""
    fire: occaberry; water: passhoberry; electric: wacanberry; grass: rindoberry; ice: yacheberry;
    fighting: chopleberry; poison: kebiaberry; ground: shucaberry; flying: cobaberry; psychic: payapaberry;
    bug: tangaberry; rock: chartiberry; ghost: kasibberry; dragon: habanberry; dark: colburberry; steel: babiriberry;
    fairy: roseliberry""")

# --- after own moves ------------------------------------------------------------------------------------------------

UNTOUCHED = _names("longreach magicguard")
"""Abilities of an attacker that contact does not hurt."""
NO_LIFE_ORB_DAMAGE = _names("magicguard sheerforce")
KO_ABILITIES = _names("asoneglastrier asonespectrier beastboost chillingneigh grimneigh moxie soulheart")
LOCKING_ABILITIES = _names("gorillatactics")
TYPE_CHANGING = _names("libero protean")
AFTER_MOVE = KO_ABILITIES | TYPE_CHANGING

# --- when hurt, or given a status or a lower stat ------------------------------------------------------------------

HURT_BY = _by("""
    Stealth Rock: heavydutyboots magicguard; Spikes: heavydutyboots magicguard; G-Max Steelsurge: heavydutyboots
    magicguard; Sandstorm: magicguard overcoat safetygoggles sandforce sandrush sandveil; Hail: icebody magicguard
    overcoat safetygoggles slushrush snowcloak; psn: magicguard poisonheal; tox: magicguard poisonheal;
    brn: magicguard; Recoil: magicguard rockhead; Leech Seed: magicguard; item Life Orb: magicguard""")
"""Cause of damage -> what would have prevented it."""
IMMUNE_TO = _by("""
    brn: comatose purifyingsalt thermalexchange waterbubble waterveil; par: comatose limber purifyingsalt;
    psn: comatose immunity pastelveil purifyingsalt; tox: comatose immunity pastelveil purifyingsalt;
    slp: comatose insomnia purifyingsalt sweetveil vitalspirit; frz: comatose magmaarmor purifyingsalt""")
SYNCHRONIZED = _names("brn par psn tox")
NEVER_LOWERED = _names("clearbody contrary fullmetalbody mirrorarmor whitesmoke clearamulet")
NEVER_LOWERED_OF = _by("atk: hypercutter; def: bigpecks; accuracy: keeneye mindseye")
AFTER_LOWERED = _names("competitive defiant")

# --- at the end of a turn -------------------------------------------------------------------------------------------

HEALING_ITEMS = _names("blacksludge leftovers")
HALF_HP_BERRIES = _names("berry berryjuice goldberry oranberry sitrusberry")
PINCH_BERRIES = _names("""
    aguavberry apicotberry figyberry ganlonberry iapapaberry lansatberry liechiberry magoberry petayaberry salacberry
    starfberry wikiberry""")
LOW_HP_BERRIES = HALF_HP_BERRIES | PINCH_BERRIES
STATUS_BERRIES = _by("""
    brn: lumberry miracleberry iceberry rawstberry; par: lumberry miracleberry cheriberry przcureberry;
    psn: lumberry miracleberry pechaberry psncureberry; tox: lumberry miracleberry pechaberry psncureberry;
    slp: lumberry miracleberry chestoberry mintberry; frz: lumberry miracleberry aspearberry burntberry""")
CONFUSION_BERRIES = _names("bitterberry lumberry miracleberry persimberry")
ORBS = {_names("flameorb"): _names("fire"), _names("toxicorb"): _names("poison steel")}
"""Orb -> types that it does not work on."""
ALL_ORBS = frozenset[str]().union(*ORBS)
MENTAL = _names("encore taunt disable torment healblock attract")
TERRAIN_SEEDS = {f"{name}terrain": frozenset([f"{name}seed"]) for name in ("electric", "grassy", "misty", "psychic")}
EVERY_TURN = _names("moody speedboost")
IN_WEATHER = _by("raindance: dryskin raindish; sunnyday: dryskin solarpower; hail: icebody; snowscape: icebody")
"""Weather -> abilities that change the HP of who is hurt."""
AT_END = EVERY_TURN.union(*IN_WEATHER.values())
NO_BERRIES = _names("asoneglastrier asonespectrier unnerve")
"""Abilities of the foe."""
NO_WEATHER = _names("airlock cloudnine")
