"""A raw battle -> a battle record, from replay JSON, battle records, protocol text or saved HTML.

    replay          {"id", "format" or "formatid", "log": text or list of lines, "uploadtime", "rating", "players"}, or
                    a row of a public data set (public_rows.py)
    server log      {"roomid", "format", "log": lines, "timestamp", "p1rating", "p2rating", "inputLog"} (server_log.py)
    battle record   {"id", "format" or "formatid", "spectator": lines, "p1": [...], "p2": [...]}; the lists hold
                    {"after_line" or "spec_lines", "request", "choice", "rejected"}; "u" entries are ignored
    protocol text   one battle; its id comes from its room (`>battle-gen9ou-1`), or from the file's name if that is one
    HTML            the page that Showdown offers for download
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import msgspec

from pipelines.convert.clean_log import CleanLog, clean
from pipelines.convert.copies import as_played
from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.public_rows import as_replay, first_of_month
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.recorded_requests import read_requests
from pipelines.convert.server_log import read_server_log
from poke_bc.contract.files import digest
from poke_bc.dex import to_id
from poke_bc.showdown.record import PLAYERS, BattleRecord, Player, RecordedRequest, SkippedBattle
from poke_bc.showdown.request_types import Request, check_request, malformed, typed

NOT_A_BATTLE, TRAJECTORY = "not a battle", "a trajectory, not a battle"
_REPLAY_ID = re.compile(r"(?:[a-z0-9]+-)?(?P<format>[a-z0-9]*[a-z][a-z0-9]*)-\d+(?:-[a-z0-9]+)?")
_REPLAY_FILE = re.compile(r"(?:battle-)?(?:[a-z0-9]+-)?"
                          r"(?:gen\d[a-z0-9]*-\d+|[a-z0-9]*[a-z][a-z0-9]*-\d{5,})(?:-[a-z0-9]+)?")
"""File names that are certainly replay ids, which `log-1` is not."""
_LONGEST_ID = 200
_SAFE_ID = re.compile(r"[a-z0-9_-]+")
"""An id must also contain its format: anything else may contain user names."""
_LOG_IN_PAGE = re.compile(r"<script[^>]*class=[\"']?battle-log-data[^>]*>(?P<log>.*?)</script\s*>",
                          re.DOTALL | re.IGNORECASE)
_ID_IN_PAGE = re.compile(r"<input[^>]*name=[\"']?replayid[^>]*>", re.IGNORECASE)
_VALUE = re.compile(r"value=[\"']?(?P<id>[\w-]+)", re.IGNORECASE)
_BARE_MARKUP = re.compile(r"<|&(?!#?\w{1,31};)")
_OF_RECORDS = frozenset({"id", "format", "formatid", "spectator", "uploadtime", "rating", "players", "p1", "p2",
                         "winner"})
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MILLISECONDS = 100_000_000_000  # seconds reach this in the year 5138


def read_battle(raw: RawBattle, pseudonyms: Pseudonyms) -> BattleRecord:
    """Parse a battle and replace its user names. Raises SkippedBattle with the reason."""
    if raw.form == "problem":
        raise SkippedBattle(*raw.data.decode().split("\n", 1))
    try:
        text = raw.data.decode()
    except UnicodeDecodeError as error:
        raise SkippedBattle("not UTF-8", f"byte {error.start}") from None
    if raw.form == "log":
        return _from_text(text, raw, pseudonyms)
    if raw.form == "html":
        return _from_page(text, raw, pseudonyms)
    value = _values(raw.data, text)
    if isinstance(value, dict):
        value = as_replay(value)
    if isinstance(value, dict) and isinstance(value.get("spectator"), list):
        return _from_record(value, raw, pseudonyms)
    if isinstance(value, dict) and isinstance(value.get("log"), str | list):
        return _from_replay(value, raw, pseudonyms)
    if isinstance(value, dict) and "steps" in value:
        raise SkippedBattle(TRAJECTORY, "poke-bc preprocess reads it")
    raise SkippedBattle(NOT_A_BATTLE, "JSON without a log")


def _values(data: bytes, text: str) -> Any:
    """The value of a JSON text: of a battle record only what is read, and the requests as they are written."""
    try:
        keys = _KEYS.decode(data)
        if not bytes(keys.get("spectator", b"")).startswith(b"["):
            return msgspec.json.decode(data)
        return {key: raw if key in PLAYERS else msgspec.json.decode(raw) for key, raw in keys.items()
                if key in _OF_RECORDS}
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError):
        try:  # what is not quite JSON, but written: NaN, lone surrogates
            data = msgspec.json.encode(_encodable(json.loads(text)))
            return _values(data, data.decode())
        except (ValueError, RecursionError) as error:
            raise SkippedBattle("not JSON", str(error)) from None


def _from_replay(value: Mapping[str, Any], raw: RawBattle, pseudonyms: Pseudonyms) -> BattleRecord:
    lines = _strings(value["log"].split("\n") if isinstance(value["log"], str) else value["log"])
    record = _finish(value, lines, raw, pseudonyms)
    return read_server_log(value, record) if "inputLog" in value or "timestamp" in value else record


def _from_text(text: str, raw: RawBattle, pseudonyms: Pseudonyms) -> BattleRecord:
    lines = _strings(text.removeprefix("\ufeff").split("\n"))
    room = lines[0].strip() if lines and lines[0].startswith(">battle-") else ""
    return _finish({"id": room[1:] or _id_of_file(raw)}, lines[bool(room):], raw, pseudonyms)


def _from_page(text: str, raw: RawBattle, pseudonyms: Pseudonyms) -> BattleRecord:
    found = _LOG_IN_PAGE.search(text)
    if found is None:
        raise SkippedBattle(NOT_A_BATTLE, "HTML without battle-log-data")
    log = found["log"].replace("\\/", "/")
    if not _BARE_MARKUP.search(log):  # every & is part of an entity: the log was escaped as a whole
        log = html.unescape(log)
    field = _ID_IN_PAGE.search(text)
    named = _VALUE.search(field[0]) if field else None
    return _finish({"id": named["id"] if named else _id_of_file(raw)}, _strings(log.split("\n")), raw, pseudonyms)


def _from_record(value: Mapping[str, Any], raw: RawBattle, pseudonyms: Pseudonyms) -> BattleRecord:
    lines = _strings(value["spectator"])
    log = clean(lines)
    requests: dict[Player, tuple[RecordedRequest, ...]] = {}
    sides: tuple[Player, ...] = ("p1", "p2")
    for player in sides:
        entries = typed(value.get(player, b"null"), _ENTRIES, f"requests.{player}") or []
        if own := tuple(_request(entry, f"requests.{player}[{number}]", log, pseudonyms)
                        for number, entry in enumerate(entries) if entry.k == "r"):
            requests[player] = own
    return _finish({**value, "p1": None, "p2": None}, lines, raw, pseudonyms, log, requests)


class _Entry(msgspec.Struct):
    """A request as battle records hold it."""

    k: Any = "r"
    request: Request | None = None
    after_line: int | None = None
    spec_lines: int | None = None
    choice: str | None = None
    rejected: bool | str | None = None


_ENTRIES = msgspec.json.Decoder(list[_Entry] | None)


def _request(entry: _Entry, path: str, log: CleanLog, pseudonyms: Pseudonyms) -> RecordedRequest:
    place = entry.spec_lines if entry.after_line is None else entry.after_line
    if place is None or not 0 <= place < len(log.before):
        raise malformed(f"{path}.after_line", f"expected 0 to {len(log.before) - 1}, the number of lines")
    if entry.request is None:
        raise malformed(f"{path}.request", "missing")
    choice = re.sub(r"^>p[12] ", "", (entry.choice or "").strip())
    request = check_request(entry.request, f"{path}.request")
    return RecordedRequest(log.before[place], pseudonyms.request(request), choice or None, bool(entry.rejected))


def _finish(value: Mapping[str, Any], raw_lines: Sequence[str], raw: RawBattle, pseudonyms: Pseudonyms,
            log: CleanLog | None = None,
            requests: dict[Player, tuple[RecordedRequest, ...]] | None = None) -> BattleRecord:
    """The steps that all forms share: clean the log, replace names, find id, format and date."""
    log = log or clean(raw_lines)
    if not any(line.startswith(("|move|", "|switch|", "|player|", "|start")) for line in log.lines):
        raise SkippedBattle(NOT_A_BATTLE, "no line of a battle")
    lines = tuple(pseudonyms.lines(log.lines, _users(value)))
    if requests is None:
        requests = read_requests(log.lines, log.events, pseudonyms)
    id_ = str(value.get("id") or value.get("roomid") or "").removeprefix("battle-")
    format_ = _format(value, id_, lines)
    if not 0 < len(id_) <= _LONGEST_ID or not _SAFE_ID.fullmatch(id_) or (format_ and format_ not in id_):
        id_ = f"{format_ or 'battle'}-{digest(as_played(lines).encode())}"
    return BattleRecord(id=id_, format=format_, lines=lines, requests=requests,
                        date=_date(value.get("uploadtime"), lines) or first_of_month(value.get("month_year")),
                        rating=_number(value.get("rating")),
                        source=raw.place)


def _format(value: Mapping[str, Any], id_: str, lines: Sequence[str]) -> str:
    for key in ("formatid", "format"):
        if isinstance(value.get(key), str) and (named := to_id(value[key].split("@@@")[0])):
            return named
    if found := _REPLAY_ID.fullmatch(id_):
        return found["format"]
    tier = next((line[6:] for line in lines if line.startswith("|tier|")), "")
    return to_id(tier.split("@@@")[0])


def _id_of_file(raw: RawBattle) -> str:
    """The file's name if it is a replay id, else empty: other names may contain user names."""
    name = PurePath(raw.source).name.split(".")[0].lower()
    return name if _REPLAY_FILE.fullmatch(name) else ""


def _date(uploadtime: object, lines: Iterable[str]) -> str | None:
    """Date and time of the upload, or else of the first timestamp, in ISO 8601, UTC."""
    first = next((line[4:] for line in lines if line.startswith("|t:|")), None)
    for stamp in (uploadtime, first):
        seconds = _number(stamp)
        if seconds is None and isinstance(stamp, str) and re.match(r"\d{4}-\d\d-\d\d", stamp):
            try:
                moment = datetime.fromisoformat(stamp)
                return _iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
            except (ValueError, OverflowError):
                continue
        if seconds is not None and seconds > 0:
            try:
                return _iso(datetime.fromtimestamp(seconds // 1000 if seconds > _MILLISECONDS else seconds, UTC))
            except (ValueError, OverflowError, OSError):
                continue
    return None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(float(value)) if not isinstance(value, int) else value
    except (ValueError, OverflowError):
        return None


def _users(value: Mapping[str, Any]) -> list[str]:
    """User names in the record itself, which may be missing in the `player` lines."""
    players = value.get("players")
    if isinstance(players, str):  # a list that a table holds as text
        players = [name.strip(" '\"") for name in players.strip("[]").split(",")]
    given = [*(players if isinstance(players, list) else ()), value.get("p1"), value.get("p2"), value.get("winner")]
    return [name for name in given if isinstance(name, str)]


def _strings(lines: Sequence[object]) -> list[str]:
    if not all(isinstance(line, str) for line in lines):
        raise SkippedBattle(NOT_A_BATTLE, "a log that is not text")
    return [str(line) for line in lines]


def _encodable(value: Any) -> Any:
    """Replace lone surrogates, which JSON can contain but UTF-8 cannot."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
