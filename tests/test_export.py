"""An exported policy computes what the policy computes, wherever it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from command_line import REPOSITORY, assert_told_in_two_lines, environment, run_cli
from small_networks import Heads
from torch import nn

from pipelines.convert import convert_battles
from poke_bc.contract.actions import pack_actions
from poke_bc.contract.errors import RunError, UsageError
from poke_bc.contract.schema import load_schema
from poke_bc.data.batch import Batch
from poke_bc.policy import Policy, PolicyOutput, create_policy, load_policy, save_policy
from poke_bc.policy.export import Exported, export_onnx

NETWORKS = ("mlp", "entity", "history")


def save(name: str, folder: Path, schema: str = "singles", **options: object) -> Path:
    """A network whose logits are far from each other, with all heads."""
    torch.manual_seed(0)
    policy = create_policy(name, load_schema(schema), **{
        "width": 16, "embedding": 4, "value_head": True, "gimmick_head": True, **options})
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.2 * torch.randn_like(weight)
        policy.temperature.fill_(1.7)
    policy.note_seen([torch.randint(0, 100, (200, policy.schema.category_width))])
    save_policy(policy, folder)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Policy, Exported]]:
    """Name of a network -> one that was saved, and its export."""
    folder, made = tmp_path_factory.mktemp("exported"), {}
    options = {"mlp": {"blocks": 1}, "entity": {"layers": 1, "heads": 2, "hidden": 16},
               "history": {"layers": 1, "heads": 2, "hidden": 16, "steps": 4}}

    def of(name: str) -> tuple[Policy, Exported]:
        if name not in made:
            saved = save(name, folder / name, **options[name])
            made[name] = load_policy(saved), export_onnx(saved, folder / f"{name}.onnx")
        return made[name]

    return of


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [1, 2, 65])
def test_a_batch_of_any_size_has_the_policys_own_output(
        name: str, rows: int, exported: Callable[[str], tuple[Policy, Exported]]) -> None:
    policy, file = exported(name)
    random = np.random.default_rng(rows)
    shape = (rows,) if policy.steps is None else (rows, len(policy.steps))
    columns = {"category": random.integers(0, 1000, (*shape, policy.schema.category_width)).astype(np.uint16),
               "number": random.integers(0, 2, (*shape, policy.schema.number_width)).astype(np.float16)}
    legal = random.random((rows, 10)) < 0.4
    bits = torch.from_numpy(pack_actions(legal).astype(np.int32))
    if policy.steps is not None:
        columns["is_pad"] = np.arange(1 - len(policy.steps), 1) < -random.integers(0, len(policy.steps), (rows, 1))
        bits = bits[:, None].expand(-1, len(policy.steps))
    batch = Batch({name: torch.from_numpy(array) for name, array in columns.items()} | {"legal": bits},
                  steps=policy.steps)
    with torch.inference_mode():
        wanted: PolicyOutput = policy(batch)
    session = onnxruntime.InferenceSession(file.path)
    found = dict(zip(file.outputs, session.run(None, columns | {"legal": legal}), strict=True))
    assert list(found) == ["logits", "value", "gimmick"]
    for output, array in found.items():
        tensor = getattr(wanted, output)
        tensor = tensor if policy.steps is None else tensor[:, -1]
        torch.testing.assert_close(torch.from_numpy(array), tensor, rtol=1e-5, atol=1e-5)
    masked = ~legal & legal.any(axis=1, keepdims=True)
    assert (np.isneginf(found["logits"]) == masked).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_example_needs_neither_this_package_nor_torch(
        name: str, exported: Callable[[str], tuple[Policy, Exported]], tmp_path: Path) -> None:
    policy, file = exported(name)
    convert_battles([str(REPOSITORY / "data/sample/battles.jsonl.zst")], tmp_path / "raw.jsonl", workers=1,
                    keep_names=True, limit=2)
    lines = [json.loads(line) for line in (tmp_path / "raw.jsonl").read_text("utf-8").splitlines()]
    assert lines
    code = ("import runpy, sys\nsys.modules.update(dict.fromkeys(['poke_bc', 'pipelines', 'torch']))\n"
            "try: import poke_bc\nexcept ImportError: runpy.run_path(sys.argv.pop(1), run_name='__main__')")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, REPOSITORY / "docs/examples/run_onnx.py",
                           file.path, tmp_path / "raw.jsonl"], env=environment(), capture_output=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = torch.tensor([json.loads(line) for line in done.stdout.splitlines()])
    torch.testing.assert_close(found, torch.cat([own_probabilities(policy, line["steps"]) for line in lines]),
                               rtol=0, atol=1e-5)


def own_probabilities(policy: Policy, steps: list[dict[str, object]]) -> torch.Tensor:
    """Of all decisions of a trajectory, one window each where the policy reads windows."""
    rows = Batch.from_observations(policy.schema, [step["observation"] for step in steps],
                                   [step["legal"] for step in steps])
    if policy.steps is not None:
        at = torch.arange(len(steps))[:, None] + torch.tensor(policy.steps)
        rows = Batch({name: tensor[at.clamp(min=0)] for name, tensor in rows.tensors().items()} | {"is_pad": at < 0},
                     steps=policy.steps)
    with torch.inference_mode():
        logits = policy(rows).logits
    return (logits if policy.steps is None else logits[:, -1]).softmax(dim=1)


class Branching(Heads):
    """A network that torch cannot export."""

    def score(self, batch: Batch) -> PolicyOutput:
        output = super().score(batch)
        return PolicyOutput(output.logits * (2 if output.logits.sum() > 0 else 1))


def test_a_network_that_cannot_be_exported_is_told_and_writes_nothing(tmp_path: Path) -> None:
    save("test_export:Branching", tmp_path / "policy", "basic")
    with pytest.raises(RunError, match="cannot export this network"):
        export_onnx(tmp_path / "policy", tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_file_that_computes_something_else_is_not_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = save("mlp", tmp_path / "policy", "basic", blocks=1)
    forward = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: forward(self, x) * (
        1.001 if torch.compiler.is_exporting() else 1))
    with pytest.raises(RunError, match="something else"):
        export_onnx(saved, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_missing_package_is_told_with_the_command_that_installs_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = save("mlp", tmp_path / "policy", "basic", blocks=1)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match="onnxscript") as caught:
        export_onnx(saved, tmp_path / "policy.onnx")
    assert caught.value.hint == "pip install 'poke-bc[export]'"


def test_the_command_says_what_it_wrote_without_paths_and_the_same_each_time(tmp_path: Path) -> None:
    saved = save("mlp", tmp_path / "policy", "basic", blocks=1, value_head=False)
    done = run_cli("export", saved, "--out", tmp_path / "policy.onnx", "--json")
    assert done.code == 0, done.stderr
    assert done.stderr == ""
    assert done.json["inputs"] == {"category": ["batch", 18], "number": ["batch", 23], "legal": ["batch", 10]}
    assert done.json["outputs"] == {"logits": ["batch", 10]}
    assert done.json["difference"] <= 1e-5
    content = (tmp_path / "policy.onnx").read_bytes()
    assert len(content) == done.json["bytes"]
    assert str(REPOSITORY).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content
    export_onnx(saved, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == content


def test_an_unknown_format_is_wrong_use(tmp_path: Path) -> None:
    assert_told_in_two_lines(run_cli("export", tmp_path, "--to", "pickle"), "pickle", code=2)
