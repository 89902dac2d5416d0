"""Pseudonyms: user names are personal data, so each is replaced by a salted hash before the battle is read any further.

With the same salt, a user has the same pseudonym in all data, so `split --by player` works across files; without the
salt, the hash of a known name cannot be recomputed. The salt is a secret and never part of the data: --salt, else
$POKE_BC_SALT, else a random one created on first use in ~/.config/poke-bc/salt ($XDG_CONFIG_HOME is respected).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from poke_bc.contract.errors import UsageError
from poke_bc.dex import to_id
from poke_bc.showdown.request_types import Request
from poke_bc.showdown.user_names import UserNames

SALT_VARIABLE = "POKE_BC_SALT"


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
        if self.salt is None:
            return list(lines)
        users = UserNames(self.name, known)
        return [users.replaced(line) for line in lines]

    def request(self, request: Request) -> Request:
        """A request with the user's name replaced; nicknames of Pokémon stay."""
        if name := request.get("side", {}).get("name"):
            request["side"]["name"] = self.name(name)
        return request
