"""Factors of the most common items, abilities and weathers in a damage estimate.

Pairs are (physical, special) factors. Sources: Pokémon Showdown, data/items.ts, data/abilities.ts and
data/conditions.ts. Items that help a single species (Light Ball, Thick Club, Soul Dew) are assumed to be held by it.
"""

from __future__ import annotations

TYPE_ITEMS = {
    "bug": "silverpowder", "dark": "blackglasses", "dragon": "dragonfang", "electric": "magnet",
    "fairy": "fairyfeather", "fighting": "blackbelt", "fire": "charcoal", "flying": "sharpbeak",
    "ghost": "spelltag", "grass": "miracleseed roseincense", "ground": "softsand", "ice": "nevermeltice",
    "normal": "silkscarf pinkbow polkadotbow", "poison": "poisonbarb", "psychic": "twistedspoon oddincense",
    "rock": "hardstone rockincense", "steel": "metalcoat", "water": "mysticwater seaincense waveincense",
}
ORBS = {"adamantorb": "dragon steel", "adamantcrystal": "dragon steel", "lustrousorb": "dragon water",
        "lustrousglobe": "dragon water", "griseousorb": "dragon ghost", "griseouscore": "dragon ghost"}
RESIST_BERRIES = {
    "tangaberry": "bug", "colburberry": "dark", "habanberry": "dragon", "wacanberry": "electric",
    "roseliberry": "fairy", "chopleberry": "fighting", "occaberry": "fire", "cobaberry": "flying",
    "kasibberry": "ghost", "rindoberry": "grass", "shucaberry": "ground", "yacheberry": "ice", "kebiaberry": "poison",
    "payapaberry": "psychic", "chartiberry": "rock", "babiriberry": "steel", "passhoberry": "water",
}
ITEM_CATEGORY = {"choiceband": (1.5, 1), "choicespecs": (1, 1.5), "muscleband": (1.1, 1), "wiseglasses": (1, 1.1),
                 "thickclub": (2, 1), "deepseatooth": (1, 2), "wellspringmask": (1.2, 1.2),
                 "hearthflamemask": (1.2, 1.2), "cornerstonemask": (1.2, 1.2)}
ITEM_DEFENCE = {"assaultvest": (1, 1.5), "deepseascale": (1, 2), "metalpowder": (1.5, 1.5)}
ITEM_SPEED = {"choicescarf": 1.5, "ironball": 0.5, "machobrace": 0.5, "poweranklet": 0.5, "powerband": 0.5,
              "powerbelt": 0.5, "powerbracer": 0.5, "powerlens": 0.5, "powerweight": 0.5, "quickpowder": 2.0}

ABILITY_CATEGORY = {"hugepower": (2, 1), "purepower": (2, 1), "hustle": (1.5, 1), "gorillatactics": (1.5, 1),
                    "swordofruin": (4 / 3, 1), "beadsofruin": (1, 4 / 3), "parentalbond": (1.25, 1.25)}
ABILITY_TYPE = {"waterbubble": {"water": 2.0}, "steelworker": {"steel": 1.5}, "steelyspirit": {"steel": 1.5},
                "dragonsmaw": {"dragon": 1.5}, "rockypayload": {"rock": 1.5}, "firemane": {"fire": 1.5},
                "transistor": {"electric": 1.3},
                "fairyaura": {"fairy": 1.33}, "darkaura": {"dark": 1.33}}
ABILITY_FLAG = {"toughclaws": ("contact", 1.3), "ironfist": ("punch", 1.2), "strongjaw": ("bite", 1.5),
                "megalauncher": ("pulse", 1.5), "sharpness": ("slicing", 1.5), "punkrock": ("sound", 1.3)}
ATE = {"aerilate": "flying", "pixilate": "fairy", "refrigerate": "ice", "galvanize": "electric", "dragonize": "dragon",
       "normalize": "normal"}
PINCH = {"blaze": "fire", "torrent": "water", "overgrow": "grass", "swarm": "bug"}
GUARD_TYPE = {
    "levitate": {"ground": 0.0}, "eartheater": {"ground": 0.0}, "waterabsorb": {"water": 0.0},
    "stormdrain": {"water": 0.0}, "dryskin": {"water": 0.0, "fire": 1.25}, "voltabsorb": {"electric": 0.0},
    "motordrive": {"electric": 0.0}, "lightningrod": {"electric": 0.0}, "flashfire": {"fire": 0.0},
    "wellbakedbody": {"fire": 0.0}, "sapsipper": {"grass": 0.0}, "thickfat": {"fire": 0.5, "ice": 0.5},
    "heatproof": {"fire": 0.5}, "waterbubble": {"fire": 0.5}, "purifyingsalt": {"ghost": 0.5}, "fluffy": {"fire": 2.0},
}
GUARD_CATEGORY = {"icescales": (1, 0.5), "furcoat": (0.5, 1), "tabletsofruin": (0.75, 1), "vesselofruin": (1, 0.75)}
GUARD_FLAG = {"soundproof": ("sound", 0.0), "bulletproof": ("bullet", 0.0), "punkrock": ("sound", 0.5),
              "windrider": ("wind", 0.0), "fluffy": ("contact", 0.5)}
PRIORITY_GUARDS = ("dazzling", "queenlymajesty", "armortail")
WEATHER_TYPE = {"raindance": {"water": 1.5, "fire": 0.5}, "sunnyday": {"fire": 1.5, "water": 0.5},
                "primordialsea": {"water": 1.5, "fire": 0.0}, "desolateland": {"fire": 1.5, "water": 0.0}}
BREAKS_SCREENS = ("brickbreak", "psychicfangs", "ragingbull")
