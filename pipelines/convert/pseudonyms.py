"""Pseudonyms: user names are personal data, so each is replaced by a salted hash before the battle is read any further.

With the same salt, a user has the same pseudonym in all data, so `split --by player` works across files; without the
salt, the hash of a known name cannot be recomputed. The salt is a secret and never part of the data: --salt, else
$POKE_BC_SALT, else a random one created on first use in ~/.config/poke-bc/salt ($XDG_CONFIG_HOME is respected).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from poke_bc.contract.errors import UsageError
from poke_bc.dex import to_id
from poke_bc.showdown.request_types import Request

SALT_VARIABLE = "POKE_BC_SALT"
_SIDE = re.compile(r"(p[1-4]): .*", re.DOTALL)
_LEAVING = re.compile(r"(?!Player \d )(?P<name>.+?)(?= (?:forfeited|lost due to inactivity|lost\.|has forfeited))")
_SIDE_ARGUMENT = {"-sidestart": 2, "-sideend": 2, "-ability": 4}
"""Arguments that name a side as `p1: USER` (in `-ability` Unnerve's target); elsewhere `p1: X` is a Pokémon."""


def hash_name(name: str, salt: str) -> str:
    """Pseudonym of a user: "u" and 10 hex digits, the same for all spellings that Showdown treats as the same user.

    >>> hash_name("Ash Ketchum", "s") == hash_name("ashketchum", "s") != hash_name("ashketchum", "t")
    True
    """
    key = blake2b(salt.encode(errors="surrogatepass")).digest()
    same = to_id(name) or name.strip().casefold()  # a name without any Latin letter or digit has no id
    return "u" + blake2b(same.encode(errors="surrogatepass"), key=key, digest_size=5).hexdigest()


def find_salt(given: str | None = None) -> str:
    """The salt to use: `given`, $POKE_BC_SALT, or the stored one, created if needed. Raises UsageError."""
    if salt := given or os.environ.get(SALT_VARIABLE):
        return salt
    path = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "poke-bc" / "salt"
    try:
        with contextlib.suppress(FileNotFoundError):
            return _read_salt(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"salt-{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        try:
            fresh.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
            with contextlib.suppress(FileExistsError):  # two concurrent first runs share the salt of the earlier one
                os.link(fresh, path)
        finally:
            fresh.unlink()
        return _read_salt(path)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: no home
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path}: the salt for pseudonyms can be neither read nor created ({reason})",
                         hint=f"give --salt TEXT or ${SALT_VARIABLE}, or --keep-names") from None


def _read_salt(path: Path) -> str:
    salt = path.read_text(encoding="utf-8").strip()
    if not salt:
        raise UsageError(f"{path}: empty, so there is no salt for pseudonyms",
                         hint="remove it to get a new one, or give --salt TEXT")
    return salt


@dataclass(frozen=True)
class Pseudonyms:
    """Replaces user names in lines and requests."""

    salt: str | None
    """None: names are kept."""

    @property
    def fingerprint(self) -> str:
        """Differs between salts without revealing them."""
        return "names kept" if self.salt is None else hash_name("poke-bc", self.salt)

    def name(self, name: str) -> str:
        """The pseudonym of a user name; an empty name stays empty."""
        return name if self.salt is None or not name.strip() else hash_name(name, self.salt)

    def lines(self, lines: Iterable[str], known: Iterable[str] = ()) -> list[str]:
        """The lines with every user name replaced.

        Args:
            lines: lines of one battle, without chat.
            known: names that may occur in addition to those in `player` lines.
        """
        lines = list(lines)
        if self.salt is None:
            return lines
        players = _Players(self, known)
        for at, line in enumerate(lines):
            kind = line[1:line.find("|", 1)]  # a line without a second bar names no user
            if kind in _NAMING:
                lines[at] = players.replace(kind, line)
        return lines

    def request(self, request: Request) -> Request:
        """A request with the user's name replaced; nicknames of Pokémon stay."""
        if name := request.get("side", {}).get("name"):
            request["side"]["name"] = self.name(name)
        return request


_NAMING = {"player", "win", "message", "-message", "-hint", *_SIDE_ARGUMENT}


class _Players:
    """The user names of a battle found so far in its log."""

    def __init__(self, pseudonyms: Pseudonyms, known: Iterable[str]) -> None:
        self.pseudonyms = pseudonyms
        self.of_side: dict[str, str] = {}
        self.names = {name.strip() for name in known} - {""}

    def replace(self, kind: str, line: str) -> str:
        parts = line.split("|")
        if kind == "player":
            if len(parts) > 3 and parts[3].strip():
                self.names.add(parts[3].strip())
                parts[3] = self.of_side[parts[2]] = self.pseudonyms.name(parts[3])
            if len(parts) > 4:
                parts[4] = ""  # custom avatars are named after their owner
        elif kind == "win":
            self.names.add("|".join(parts[2:]).strip())
            parts[2:] = [self.pseudonyms.name("|".join(parts[2:]))]
        elif place := _SIDE_ARGUMENT.get(kind):
            if len(parts) > place and (side := _SIDE.fullmatch(parts[place])):
                name = self.of_side.get(side[1]) or self.pseudonyms.name(parts[place][4:])
                parts[place] = f"{side[1]}: {name}"
        else:
            parts[2:] = [self.replace_in_text("|".join(parts[2:]), leaving=kind != "-hint")]
        return "|".join(parts)

    def replace_in_text(self, text: str, *, leaving: bool) -> str:
        known = "|".join(re.escape(name) for name in sorted(self.names, key=lambda name: (-len(name), name)) if name)
        if known:
            alone = re.compile(rf"(?<!\w)(?:{known})(?!\w)", re.IGNORECASE)
            text = alone.sub(lambda found: self.pseudonyms.name(found[0]), text)
        if leaving and (gone := _LEAVING.match(text)) and gone["name"] not in self.of_side.values():
            text = self.pseudonyms.name(gone["name"]) + text[gone.end():]  # a player who was renamed
        return text
