"""Battles come in whatever shape people keep them, and nothing in a file can end the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from battle_shapes import NAMES, jsonl, make_log, packed, page, parquet, replay
from battles_at import BATTLES
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.convert import raw_battles
from pipelines.convert.battle_files import BATTLE_FILES, read_raw_battles
from pipelines.convert.clean_log import clean
from pipelines.convert.pseudonyms import SALT_VARIABLE, Pseudonyms, find_salt, hash_name
from pipelines.convert.records import read_battle
from pipelines.jobs.inputs import find_inputs
from poke_bc.contract.errors import UsageError
from poke_bc.showdown.record import BattleRecord, SkippedBattle

PSEUDONYMS = Pseudonyms("salt")
ENDINGS = ("", ".gz", ".zst")


def read(path: Path, pseudonyms: Pseudonyms = PSEUDONYMS) -> Iterator[BattleRecord | str]:
    """Records, or the reasons why there are none."""
    for raw in read_raw_battles(str(path)):
        try:
            yield read_battle(raw, pseudonyms)
        except SkippedBattle as skipped:
            yield skipped.reason


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)
    return path


def only(path: Path, pseudonyms: Pseudonyms = PSEUDONYMS) -> BattleRecord:
    (record,) = read(path, pseudonyms)
    assert isinstance(record, BattleRecord)
    return record


def essence(record: BattleRecord | str) -> Any:
    return record if isinstance(record, str) else (record.id, record.format, record.lines, record.date)


def without_upload(record: dict[str, Any]) -> dict[str, Any]:
    """The date then comes from the log, as it must in shapes that have no other."""
    return record | {"uploadtime": None}


def battle_record(number: int) -> dict[str, Any]:
    return {"id": f"gen9ou-{100000 + number}", "format": "gen9ou", "spectator": make_log(number), "p1": [], "p2": []}


SHAPES: dict[str, Callable[[Path], bytes]] = {
    "one replay.json": lambda _: json.dumps(without_upload(replay(1))).encode(),
    "pretty.json": lambda _: json.dumps(without_upload(replay(1)), indent=2).encode(),
    "array.json": lambda _: json.dumps([without_upload(replay(1))], indent=1).encode(),
    "lines.jsonl": lambda _: b"\xef\xbb\xbf\n" + jsonl([without_upload(replay(1))]),
    "list of lines.json": lambda _: json.dumps(replay(1, uploadtime=None, log=make_log(1))).encode(),
    "records.jsonl": lambda _: jsonl([battle_record(1)]),
    "gen9ou-100001.log": lambda _: "\n".join(make_log(1)).encode(),
    "battle-gen9ou-100001.txt": lambda _: "\r\n".join(make_log(1)).encode(),
    "rooms.log": lambda _: "\n".join([">battle-gen9ou-100001", "|init|battle", *make_log(1)]).encode(),
    "escaped.html": lambda _: page(1, escaped=True),
    "page.html": lambda _: page(1, escaped=False),
    "rows.parquet": lambda folder: parquet([without_upload(replay(1))], folder / "rows"),
    "misnamed": lambda _: jsonl([without_upload(replay(1))]),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_the_same_battle(name: str, ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"{name}{ending}", packed(SHAPES[name](tmp_path), ending))
    plain = json.dumps(without_upload(replay(1))).encode()
    expected = read_battle(raw_battles.RawBattle("json", plain, "x", "x"), PSEUDONYMS)
    assert essence(only(path)) == essence(expected)
    assert expected.format == "gen9ou"
    assert expected.date == "2023-11-14T22:13:21Z"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", ["lines", "array", "pretty", "parquet", "rooms"])
def test_many_battles_of_a_file_come_in_order(shape: str, ending: str, tmp_path: Path) -> None:
    battles = [replay(number) for number in range(150)]
    data = {
        "lines": jsonl(battles),
        "array": json.dumps(battles, indent=1).encode(),
        "pretty": b"\n".join(json.dumps(battle, indent=1).encode() for battle in battles),
        "parquet": parquet(battles, tmp_path / "rows"),
        "rooms": b"\n".join(f">battle-{battle['id']}\n{battle['log']}".encode() for battle in battles),
    }[shape]
    found = list(read(write(tmp_path / f"file{ending}", packed(data, ending))))
    assert [record.id for record in found if isinstance(record, BattleRecord)] == [each["id"] for each in battles]


def test_the_content_tells_the_compression_not_the_name(tmp_path: Path) -> None:
    assert only(write(tmp_path / "a.json", packed(jsonl([replay()]), ".gz"))).id == "gen9ou-100001"
    assert only(write(tmp_path / "a.json.gz", jsonl([replay()]))).id == "gen9ou-100001"


def test_chat_and_what_is_of_the_room_is_left_out_and_chat_that_looks_like_protocol_stays_chat() -> None:
    noise = ["|c:|170|Ash|ok|win|Ash", "||win|Ash", "win|Ash", "|uhtml|x|<b>|turn|9", "<b>|turn|9"]
    lines = clean([*make_log(), *noise]).lines
    assert not any("Splash" in line or line.endswith("turn|9") for line in lines)
    assert sum(line.startswith("|win|") for line in lines) == 1
    kinds = {line.split("|")[1] for line in lines}
    assert kinds == {
        "",
        "t:",
        "gametype",
        "player",
        "teamsize",
        "gen",
        "tier",
        "start",
        "switch",
        "turn",
        "move",
        "-damage",
        "-sidestart",
        "upkeep",
        "-message",
        "win",
    }


def test_glued_lines_are_parted_where_that_is_certain() -> None:
    assert clean(["|move|p1a: A|Tackle|p2a: B|-damage|p2a: B|5/100|turn|3"]).lines == [
        "|move|p1a: A|Tackle|p2a: B",
        "|-damage|p2a: B|5/100",
        "|turn|3",
    ]
    for whole in (
        "|cant|p1a: A|flinch",
        "|-weather|Sandstorm|[upkeep]",
        "|-message|a|turn|3",
        "|player|p1|switch|n|",
        "|move|p1a: A|Tackle|p2a: B|[from] move|turn 3",
    ):
        assert clean([whole]).lines == [whole]


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        (
            ["|split|p1", "|-damage|p1a: A|50/341", "|-damage|p1a: A|15/100", "|upkeep"],
            ["|-damage|p1a: A|15/100", "|upkeep"],
        ),
        (["|split", "|a", "|b", "|c", "|d", "|upkeep"], ["|a", "|upkeep"]),
    ],
)
def test_of_split_lines_only_what_everybody_saw_is_kept(given_: list[str], left: list[str]) -> None:
    assert clean(given_).lines == left


def test_requests_of_battle_records_count_the_lines_that_are_left(tmp_path: Path) -> None:
    log = make_log()
    at = log.index("|turn|2") + 1
    request = {"active": [{}], "side": {"id": "p1", "name": NAMES[0]}}
    record = battle_record(1) | {
        "omniscient": ["|move|secret"],
        "p1": [
            {"k": "u", "lines": ["|secret"]},
            {"k": "r", "spec_lines": at, "request": request, "choice": ">p1 move 1"},
            {"after_line": at, "request": request, "choice": "switch 2", "rejected": True},
        ],
    }
    found = only(write(tmp_path / "a.jsonl", jsonl([record])))
    first, second = found.requests["p1"]
    assert found.lines[first.after_line - 1] == "|turn|2"
    assert (first.choice, second.choice, second.rejected) == ("move 1", "switch 2", True)
    assert first.request["side"]["name"] == hash_name("ash ketchum", "salt")
    assert "p2" not in found.requests
    assert not any("secret" in line for line in found.lines)


def bot_log(*, first: bool) -> list[str]:
    """What a bot receives and sends, with requests before or after the update they follow from."""

    def asks(number: int, **request: Any) -> str:
        row = {"ident": "p1: A", "details": "A", "condition": "100/100", "active": True, "moves": ["splash"]}
        side = {"name": NAMES[0], "id": "p1", "pokemon": [row]}
        return "|request|" + json.dumps(request | {"rqid": number, "side": side})

    head = make_log(turns=0)[:-6]
    updates = [
        [*head, "|teampreview"],
        ["|start", "|switch|p1a: A|A|100/100", "|switch|p2a: B|B|100/100", "|turn|1"],
        ["|move|p1a: A|U-turn|p2a: B"],
        ["|switch|p1a: C|C|100/100", "|upkeep", "|turn|2"],
        ["|move|p1a: C|Splash|p1a: C", "|upkeep", "|turn|3"],
        [f"|win|{NAMES[0]}"],
    ]
    requests = [
        asks(1, teamPreview=True),
        asks(2, active=[{}]),
        asks(3, forceSwitch=[True]),
        asks(4, active=[{}]),
        asks(5, active=[{}]),
    ]
    answers = [
        ["/choose team 213|1"],
        [">>> battle-gen9ou-7|/choose move 1|2"],
        ["/switch 2|3"],
        ["/choose move 9|4", "|error|[Invalid choice] no", "/choose move 3 terastallize|4"],
        ["/choose switch 2|5", "|error|[Unavailable choice] trapped", asks(6, active=[{}]), ">p1 move 1"],
    ]
    lines = ["|request|", *([] if first else updates[0])]
    for number, request in enumerate(requests):
        if first:
            lines += [request, *updates[number], *answers[number]]
        else:
            lines += [request, *answers[number], *updates[number + 1]]
    return [*lines, *(updates[-1] if first else [])]


@pytest.mark.parametrize("first", [True, False], ids=["requests before updates", "requests after updates"])
def test_requests_in_a_log_of_a_bot_stand_behind_what_they_follow_from(first: bool, tmp_path: Path) -> None:
    record = only(write(tmp_path / "a.log", "\n".join([">battle-gen9ou-7", *bot_log(first=first)]).encode()))
    asked = record.requests["p1"]
    assert record.id == "gen9ou-7"
    assert [record.lines[each.after_line - 1] for each in asked] == [
        "|teampreview",
        "|turn|1",
        "|move|p1a: A|U-turn|p2a: B",
        "|turn|2",
        "|turn|3",
        "|turn|3",
    ]
    assert [each.choice for each in asked] == [
        "team 213",
        "move 1",
        "switch 2",
        "move 3 terastallize",
        "switch 2",
        "move 1",
    ]
    assert [each.rejected for each in asked] == [False, False, False, False, True, False]
    assert "|request|" not in "\n".join(record.lines)


def test_requests_that_do_not_fit_the_lines_are_left_aside(tmp_path: Path) -> None:
    lines = bot_log(first=False)
    requests = [line for line in lines if line.startswith("|request|")]
    disorder = [*requests, *(line for line in lines if not line.startswith("|request|"))]
    assert only(write(tmp_path / "a.log", "\n".join(disorder).encode())).requests == {}


def test_interleaved_rooms_of_a_bots_log_are_told_apart(tmp_path: Path) -> None:
    logs = {number: make_log(number) for number in (1, 2, 3)}
    lines = ["2026-01-01 12:00:00 - bot - INFO - <<< |updateuser| bot|1"]
    for at in range(0, len(logs[1]), 5):
        for number, log in logs.items():
            lines += [
                f"2026-01-01 12:00:00 - bot - DEBUG - \x1b[92m<<<\x1b[0m >battle-gen9ou-{number}",
                *log[at : at + 5],
            ]
        lines += [">lobby", "|c|x|hi", "|turn|7"]
    found = list(read(write(tmp_path / "bot.log", "\n".join(lines).encode())))
    cleaned = [tuple(PSEUDONYMS.lines(clean(log).lines)) for log in logs.values()]
    assert [essence(record)[2] for record in found] == cleaned
    assert [essence(record)[0] for record in found] == ["gen9ou-1", "gen9ou-2", "gen9ou-3"]


def test_a_player_who_comes_back_gets_the_log_again(tmp_path: Path) -> None:
    lines = [
        ">battle-gen9ou-7",
        "|init|battle",
        *make_log(turns=3)[:20],
        ">battle-gen9ou-7",
        "|init|battle",
        *make_log(),
    ]
    assert only(write(tmp_path / "a.log", "\n".join(lines).encode())).lines == tuple(
        PSEUDONYMS.lines(clean(make_log()).lines)
    )


@pytest.mark.parametrize("name", [*NAMES, "Пикачу", "o.O"])
def test_no_user_name_is_left_in_any_spelling(name: str, tmp_path: Path) -> None:
    users = (name, "Other One")
    log = [
        *make_log(names=users),
        f"|-message|{users[0].upper()} lost due to inactivity.",
        f"|message|{users[0]} is gone",
        "|-message|Formerly Known lost due to inactivity.",
        "|-message|Player 1 lost due to inactivity.",
        f"|-ability|p1a: X|Unnerve|p2: {users[1]}",
        f"|-sideend|p2: {users[1].lower()}|Spikes",
    ]
    log = [line for line in log if "p1a: Ash" not in line]
    request = {"wait": True, "side": {"id": "p1", "name": users[0]}}
    value = battle_record(1) | {"spectator": log, "p1": [{"after_line": 3, "request": request}]}
    record = only(write(tmp_path / "a.json", jsonl([value])))
    left = repr(record).casefold()
    for user in (*users, "Formerly Known"):
        assert user.casefold() not in left.replace(str(tmp_path).casefold(), "")
    pseudonym = hash_name(users[0], "salt")
    assert f"|win|{pseudonym}" in record.lines
    assert f"|player|p1|{pseudonym}||1500" in record.lines
    assert f"|-sidestart|p1: {pseudonym}|Spikes" in record.lines
    assert "|-message|Player 1 lost due to inactivity." in record.lines
    assert users[0] in repr(only(tmp_path / "a.json", Pseudonyms(None)))


def test_nicknames_stay_though_they_may_be_user_names(tmp_path: Path) -> None:
    record = only(write(tmp_path / "a.json", jsonl([replay()])))
    assert "|switch|p1a: Ash Ketchum|Pikachu, L50|100/100" in record.lines


def test_a_file_named_after_its_players_gives_no_name_away(tmp_path: Path) -> None:
    path = write(tmp_path / "Gen9OU-2024-01-01-ashketchum-misty93.log", "\n".join(make_log()).encode())
    record = only(path)
    assert record.id.startswith("gen9ou-")
    assert "ashketchum" not in record.id
    assert only(path).id == record.id != only(path, Pseudonyms("other")).id


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"formatid": None, "format": "[Gen 9] OU"}, "gen9ou"),
        ({"formatid": None, "format": "OU (suspect test)"}, "oususpecttest"),
        ({"formatid": "gen5randombattle@@@Team Preview"}, "gen5randombattle"),
        ({"formatid": None, "format": None}, "gen9ou"),
        ({"formatid": None, "format": None, "id": "x"}, "gen9ou"),
        ({"formatid": None, "format": None, "id": "smogtours-gen8ou-5"}, "gen8ou"),
    ],
)
def test_the_format_is_found(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert only(write(tmp_path / "a.json", jsonl([replay(**changes)]))).format == expected


@pytest.mark.parametrize(
    ("uploadtime", "date"),
    [
        (1700000000, "2023-11-14T22:13:20Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        (1700000000000, "2023-11-14T22:13:20Z"),
        ("2023-11-14 22:13:20+00:00", "2023-11-14T22:13:20Z"),
        (None, "2023-11-14T22:13:21Z"),
        (10**400, "2023-11-14T22:13:21Z"),
        (True, "2023-11-14T22:13:21Z"),
        ("2023-99-99", "2023-11-14T22:13:21Z"),
        (-5, "2023-11-14T22:13:21Z"),
    ],
)
def test_the_date_is_that_of_the_upload_or_of_the_first_line(uploadtime: Any, date: str, tmp_path: Path) -> None:
    assert only(write(tmp_path / "a.json", jsonl([replay(uploadtime=uploadtime)]))).date == date


DAMAGED: dict[str, tuple[bytes, list[str]]] = {
    "cut.gz": (packed(jsonl(replay(n) for n in range(40)), ".gz")[:-200], ["damaged file"]),
    "cut.zst": (packed(jsonl(replay(n) for n in range(40)), ".zst")[:-20], ["damaged file"]),
    "cut.parquet": (b"PAR1" + bytes(100), ["damaged file"]),
    "empty.json": (b"", ["empty file"]),
    "blank.jsonl": (b"\n \n", ["empty file"]),
    "latin.log": (b"|player|p1|Ros\xe9||\n|start\n", ["not UTF-8"]),
    "latin.json": (b'{"log": "\xe9"}', ["not UTF-8"]),
    "latin array.json": (b'[{"log": "\xe9"}]', ["not UTF-8"]),
    "utf16.json": ("[{}]".encode("utf-16"), ["UTF-16, not UTF-8"]),
    "utf16.jsonl": (json.dumps(replay()).encode("utf-16-le"), ["UTF-16, not UTF-8"]),
    "utf16.log": ("\n".join(make_log()).encode("utf-16-be"), ["UTF-16, not UTF-8"]),
    "old mac.log": ("\r".join(make_log()).encode(), ["lines that end in bare carriage returns"]),
    "old mac.jsonl": (jsonl([replay(1), replay(2)]).replace(b"\n", b"\r"), ["lines that end in bare carriage returns"]),
    "old mac.jsonl.gz": (packed(jsonl([replay(1)] * 2).replace(b"\n", b"\r"), ".gz"),
                         ["lines that end in bare carriage returns"]),
    "cut.json": (json.dumps(replay(), indent=1).encode()[:-9], ["not JSON"]),
    "no.json": (b'{"id": 1}', ["not a battle"]),
    "image.json": (b"\x89PNG\r\n", ["not a battle"]),
    "chat.log": (b"|c|a|hi\n", ["not a battle"]),
    "page.html": (b"<html></html>", ["not a battle"]),
    "numbers.json": (b"[1, [2], null]", ["not a battle"]),
    "trajectory.jsonl": (b'{"replay_id": "a", "steps": []}\n', ["a trajectory, not a battle"]),
    "odd log.json": (b'{"id": "a", "log": ["|start", 3]}', ["not a battle"]),
    "odd requests.jsonl": (
        jsonl([battle_record(1) | {"p1": [{"after_line": 10**9, "request": {}}]}]),
        ["malformed requests"],
    ),
    "deep.json": (b'[{"a":' * 50_000, ["not JSON"]),
    "deep.jsonl": (b'{"a":' * 100_000 + b"}\n", ["not JSON"]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_cannot_be_read_is_told_by_reason(name: str, tmp_path: Path) -> None:
    data, reasons = DAMAGED[name]
    found = [each for each in read(write(tmp_path / name, data)) if isinstance(each, str)]
    assert found[-1:] == reasons


def test_an_odd_column_of_parquet_costs_no_battle(tmp_path: Path) -> None:
    """Nanoseconds and times out of range, for which Python has no type, and durations."""
    rows = pa.table({
        "id": [f"gen9ou-{number}" for number in (1, 2, 3)], "log": ["\n".join(make_log(n)) for n in (1, 2, 3)],
        "uploadtime": pa.array([1700000000123456789, None, 2**62], pa.timestamp("ns")),
        "rating": pa.array([1, 2**60, None], pa.duration("s")),
        "format": pa.array([b"gen9ou", b"\xff", None]).cast(pa.binary()),
        "players": pa.array([2**31 - 1, 0, None], pa.int32()).cast(pa.date32()),
    })
    pq.write_table(rows, tmp_path / "odd.parquet")
    found = list(read(tmp_path / "odd.parquet"))
    assert [each.id for each in found if isinstance(each, BattleRecord)] == ["gen9ou-1", "gen9ou-2", "gen9ou-3"]
    dates = [each.date for each in found if isinstance(each, BattleRecord)]
    assert dates[0] == "2023-11-14T22:13:20Z"


def test_a_file_that_breaks_the_reader_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Any]:
        raise KeyError("odd")
        yield

    monkeypatch.setattr("pipelines.convert.battle_files.cut_parquet", broken)
    write(tmp_path / "a.parquet", parquet([replay(1)], tmp_path / "rows"))
    assert list(read(tmp_path / "a.parquet")) == ["internal error: KeyError"]


def test_links_to_folders_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    for name in ("a/1.json", "a/b/2.json", "elsewhere/3.json", "a/.hidden/4.json"):
        write(tmp_path / name, b"x")
    for name, target in (("a/loop", "."), ("a/again", "."), ("a/b/up", ".."), ("a/out", "../elsewhere"),
                         ("a/b/out", "../../elsewhere"), ("elsewhere/back", "../a"), ("a/nowhere", "missing")):
        (tmp_path / name).symlink_to(target, target_is_directory=True)
    for pattern in ("a/**/*.json", "a/**", "**/a/**/*.json", "[a]/**/*"):
        found = find_inputs([str(tmp_path / pattern)], BATTLE_FILES)
        inside = [str(Path(name).relative_to(tmp_path)) for name in dict.fromkeys(found)]
        assert inside in (["a/1.json", "a/b/2.json", link] for link in ("a/out/3.json", "a/b/out/3.json")), pattern
    assert find_inputs([str(tmp_path / "*" / "?.json")], BATTLE_FILES) == [
        str(tmp_path / "a" / "1.json"), str(tmp_path / "elsewhere" / "3.json")]


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    data = jsonl([replay(1)])[:-50] + b"\n" + jsonl([replay(2)]) + b"\xff\n" + jsonl([replay(3)])
    assert [
        essence(each)[0] if not isinstance(each, str) else each for each in read(write(tmp_path / "a.jsonl", data))
    ] == ["not JSON", "gen9ou-100002", "not UTF-8", "gen9ou-100003"]


@pytest.mark.parametrize("shape", ["jsonl", "json", "html", "log"])
def test_what_is_too_long_is_skipped(shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_battles, "LONGEST", 100_000)
    long = replay(1, log="\n".join(make_log(turns=2000)))
    data = {
        "jsonl": jsonl([long, replay(2)]),
        "json": json.dumps([long, replay(2)], indent=1).encode(),
        "html": page(escaped=True) + b" " * 100_000,
        "log": "\n".join([">battle-gen9ou-1", *make_log(turns=2000), ">battle-gen9ou-100002", *make_log()]).encode(),
    }[shape]
    found = [each if isinstance(each, str) else each.id for each in read(write(tmp_path / f"a.{shape}", data))]
    assert found == {"jsonl": ["too long", "gen9ou-100002"], "log": ["too long", "gen9ou-100002"]}.get(
        shape, ["too long"]
    )


PROTOCOL = st.sampled_from(
    [
        "|request|",
        '{"active":[{}],"side":{"id":"p1","name":"x"}}',
        "|split|p1",
        "|split",
        "|turn|1",
        "|teampreview",
        ">battle-gen9ou-1",
        ">p1 move 1",
        "/choose move 1",
        "|win|x",
        "|init|battle",
        "|player|p1|x|y|z",
        "|-message|x forfeited.",
        "|error|[Invalid choice]",
        "|t:|99999999999999",
        "<<< ",
        ">>> ",
        '{"log":',
        '"spectator":["|start"]',
        '"p1":[{"after_line":0,"request":{}}]',
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "|",
        "\r\n",
        "\x1f\x8b",
        "PAR1",
        "<script class=battle-log-data>",
        "</script>",
        "\ufeff",
        "\\ud800",
    ]
)


@given(
    st.lists(st.one_of(st.binary(max_size=20), PROTOCOL.map(str.encode)), max_size=25).map(b"".join),
    st.sampled_from(["a.json", "a.log", "a.html", "a.parquet", "a.jsonl"]),
    st.sampled_from(ENDINGS),
)
@example(b"\xff\xfe", "a.log", "")
def test_no_bytes_make_it_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str, ending: str) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzzed" / f"{name}{ending}", packed(data, ending))
    for found in read(path):
        assert found if isinstance(found, str) else found.lines


@given(st.data())
def test_no_damage_to_real_shapes_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    name = data.draw(st.sampled_from(sorted(SHAPES)))
    ending = data.draw(st.sampled_from(ENDINGS))
    content = bytearray(packed(SHAPES[name](folder), ending))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for found in read(write(folder / f"{name}{ending}", bytes(content[: data.draw(st.integers(0, len(content)))]))):
        assert found if isinstance(found, str) else found.lines


@given(st.text(max_size=30), st.text(max_size=10))
def test_pseudonyms_depend_on_the_user_and_the_salt_alone(name: str, salt: str) -> None:
    assert hash_name(name, salt) == hash_name(f" {name}".upper().lower(), salt) or name.lower() != name.upper().lower()
    assert len(hash_name(name, salt)) == 11


def test_the_salt_is_made_once_and_kept_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    salt = find_salt()
    assert (find_salt(), len(salt)) == (salt, 32)
    assert [path.name for path in (tmp_path / "poke-bc").iterdir()] == ["salt"]
    assert (tmp_path / "poke-bc" / "salt").stat().st_mode & 0o077 == 0
    monkeypatch.setenv(SALT_VARIABLE, "mine")
    assert (find_salt(), find_salt("given")) == ("mine", "given")


def test_a_salt_that_cannot_be_kept_is_an_error_that_says_what_else_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(write(tmp_path / "file", b"")))
    with pytest.raises(UsageError, match="neither read nor created") as error:
        find_salt()
    assert "--salt" in error.value.hint


def test_folders_are_searched_below_and_in_order(tmp_path: Path) -> None:
    for name in (
        "b/2.log",
        "b/1.json.gz",
        "a.html",
        "c.parquet",
        ".hidden/a.json",
        ".a.json",
        "notes.md",
        "raw.jsonl.parts/000000.jsonl.zst",
        "raw.jsonl",
    ):
        write(tmp_path / name, b"x")
    everything = find_inputs([tmp_path], BATTLE_FILES, output=tmp_path / "raw.jsonl")
    found = [str(Path(name).relative_to(tmp_path)) for name in everything]
    assert found == ["a.html", "b/1.json.gz", "b/2.log", "c.parquet"]
    inside = find_inputs([tmp_path / "b"], BATTLE_FILES)
    assert set(find_inputs([tmp_path / "b", str(tmp_path / "b" / "*.log")], BATTLE_FILES)) == set(inside)


@pytest.mark.parametrize("given_", ["missing.json", "nothing/*.json", "empty folder"])
def test_what_is_not_there_is_an_error(given_: str, tmp_path: Path) -> None:
    (tmp_path / "empty folder").mkdir()
    with pytest.raises(UsageError, match=r"no such file|no battle file"):
        find_inputs([tmp_path / given_], BATTLE_FILES)
    with pytest.raises(UsageError, match="given twice"):
        find_inputs(["-", "-"], BATTLE_FILES)


@pytest.mark.parametrize("name", ["scripted", "simulated"])
def test_recorded_battles_are_read_with_the_requests_of_both_players(name: str) -> None:
    found = list(read(BATTLES / f"{name}.jsonl.zst"))
    assert len(found) > 20
    for record in found:
        assert isinstance(record, BattleRecord)
        assert record.format
        assert set(record.requests) == {"p1", "p2"}
        for player, asked in record.requests.items():
            assert all(each.request["side"]["id"] == player for each in asked)


@pytest.mark.parametrize(
    "name", ["replays/gen9ou", "replays/mixed", "replays/unsupported", "sim/gen4randombattle", "resim/gen9randombattle"]
)
def test_real_files_are_read(name: str, shared_data: Callable[[str], Path]) -> None:
    path = shared_data(f"{name}.jsonl.zst")
    for number, found in enumerate(read(path)):
        assert isinstance(found, BattleRecord)
        assert found.format
        assert ("p1" in found.requests) >= (not name.startswith("replays"))
        for player, asked in found.requests.items():
            assert all(each.request["side"]["id"] == player for each in asked)
        if number == 100:
            break
