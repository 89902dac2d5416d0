"""Policies go to the Hub and come back, through huggingface_hub itself; a server on loopback stands in for the Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Finished, assert_told_in_two_lines, run_cli, run_python
from test_policy import make

from poke_bc.contract.errors import UsageError
from poke_bc.policy import load_policy, push_policy, save_policy
from poke_bc.policy.store import FILES

TOKEN = "hf_of_the_test"


class Hub(ThreadingHTTPServer):
    """The few answers that pushing and loading a model need: https://huggingface.co/docs/hub/api."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        """Repository -> its commits, oldest first, each with all of its files."""
        self.private: dict[str, bool] = {}

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(repository, [])
        return next((each for each in reversed(commits) if revision in ("main", each[0])), None)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if name in self.server.commits:
                return self.answer({"error": "You already created this model repo", "url": self.url(name)}, 409)
            self.server.commits[name] = [(hashlib.sha1(name.encode()).hexdigest(), {})]
            self.server.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            return self.answer({"url": self.url(name)})
        name, what = self.model(r"/api/models/(.+)/(preupload|commit)/main")
        if what == "preupload":
            return self.answer({"files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                                          for each in json.loads(body)["files"]]})
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(self.server.commits[name][-1][1])
        files |= {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines
                  if line["key"] == "file"}
        commit = hashlib.sha1(body + str(len(self.server.commits[name])).encode()).hexdigest()
        self.server.commits[name].append((commit, files))
        return self.answer({"commitUrl": f"{self.url(name)}/commit/{commit}", "commitOid": commit})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/(.+?)(?:/(revision|tree)/([^/]+))?", path):
            found = self.server.files(match[1], match[3] or "main")
            if found is None:
                code = "RevisionNotFound" if match[1] in self.server.commits else "RepoNotFound"
                return self.answer({"error": "not found"}, 404, {"X-Error-Code": code})
            if match[2] == "tree":
                return self.answer([{"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                                    for name, content in found[1].items()])
            return self.answer({"id": match[1], "modelId": match[1], "sha": found[0], "private": False, "tags": [],
                                "downloads": 0, "likes": 0, "siblings": [{"rfilename": name} for name in found[1]]})
        name, revision, file = self.model(r"/(.+)/resolve/([^/]+)/(.+)")
        found = self.server.files(name, revision)
        if found is None or file not in found[1]:
            return self.answer({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        return self.answer(found[1][file], 200, {"X-Repo-Commit": found[0], "ETag": f'"{etag(found[1][file])}"'})

    do_HEAD = do_GET

    def model(self, pattern: str) -> tuple[str, ...]:
        match = re.fullmatch(pattern, self.path.partition("?")[0])
        assert match, self.path
        return match.groups()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"

    def answer(self, value: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": str(len(content)), "Content-Type": "application/json",
                           **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A server, which commands find in their environment."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    for name, value in {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}", "HF_HOME": str(tmp_path / "hf"),
                        "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                        "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def push(folder: Path, *more: str) -> Finished:
    return run_cli("push", folder, "somebody/singles", *more)


def policy_at(folder: Path, seed: int) -> Path:
    policy = make()
    torch.manual_seed(seed)
    torch.nn.init.normal_(policy.policy_head.weight)
    save_policy(policy, folder)
    (folder / "notes.txt").write_text("mine alone", "utf-8")
    return folder


def test_what_was_pushed_comes_back_as_it_was_then(hub: Hub, tmp_path: Path) -> None:
    first, second = policy_at(tmp_path / "first", 1), policy_at(tmp_path / "second", 2)
    pushed = [push(folder, "--json") for folder in (first, second)]
    assert [done.code for done in pushed] == [0, 0], pushed
    assert hub.private == {"somebody/singles": False}
    names = [done.json["name"] for done in pushed]
    assert names == [f"hub:somebody/singles@{commit}" for commit, _ in hub.commits["somebody/singles"][1:]]
    assert set(hub.commits["somebody/singles"][-1][1]) == set(FILES), "notes stay at home"
    assert hub.commits["somebody/singles"][-1][1]["README.md"] == (second / "README.md").read_bytes()
    code = ("import sys, torch\nfrom poke_bc import load_policy\n"
            "for name, folder in zip(sys.argv[1::2], sys.argv[2::2]):\n"
            "    ours, theirs = load_policy(folder).state_dict(), load_policy(name).state_dict()\n"
            "    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)\n"
            "print('same')")
    done = run_python(code, names[0], first, names[1], second, "hub:somebody/singles", second)
    assert done.stdout == "same\n", done.stderr


def test_other_commands_take_a_name_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    assert push(policy_at(tmp_path / "policy", 1), "--private").code == 0
    assert hub.private == {"somebody/singles": True}
    assert_told_in_two_lines(run_cli("evaluate", "hub:somebody/singles"), "a policy outside its run", code=2)


def test_errors_of_the_hub_are_told_in_two_lines(
        hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = policy_at(tmp_path / "policy", 1)
    assert_told_in_two_lines(run_cli("push", folder, "no name at all"), "not a name on the Hub", code=2)
    assert_told_in_two_lines(run_cli("evaluate", "hub:somebody/nothing"), "hub:somebody/nothing", code=3)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert_told_in_two_lines(push(folder), "hub:somebody/singles", "401", code=3)
    assert hub.commits == {}
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port, where nobody listens
    done = push(folder)
    assert_told_in_two_lines(done, "hub:somebody/singles", code=3)
    assert "hf auth login" in done.stderr


def test_a_damaged_policy_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    folder = policy_at(tmp_path / "policy", 1)
    (folder / "policy.safetensors").write_bytes(b"damaged")
    assert_told_in_two_lines(push(folder), "damaged", code=3)
    assert hub.commits == {}


def test_a_missing_package_is_told_with_the_command_that_installs_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for action in (lambda: push_policy(policy_at(tmp_path / "policy", 1), "somebody/singles"),
                   lambda: load_policy("hub:somebody/singles")):
        with pytest.raises(UsageError, match="huggingface_hub") as caught:
            action()
        assert caught.value.hint == "pip install 'poke-bc[hub]'"
