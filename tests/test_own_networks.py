"""Networks of one's own, by name or by place, and weights to start from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from command_line import REPOSITORY, assert_told_in_two_lines, environment, run_cli
from training_fixtures import make_shards, shards, small_config  # noqa: F401 - a fixture

import poke_bc.policy.registry as registry
from poke_bc.contract.errors import RunError, UsageError
from poke_bc.data.dataset import ShardDataset
from poke_bc.evaluate import evaluate
from poke_bc.policy import Policy, PolicyOptions, PolicyOutput, create_policy, load_policy, register, save_policy
from poke_bc.policy.inputs import UNKNOWN_ROW
from poke_bc.policy.store import start_from
from poke_bc.train import resolve, train


class Constant(Policy):
    """Thinks nothing of what it sees."""

    def __init__(self, schema: object, options: PolicyOptions) -> None:
        super().__init__(schema, options)  # type: ignore[arg-type]
        self.logits = torch.nn.Parameter(torch.zeros(10))

    def score(self, batch: object) -> PolicyOutput:
        return PolicyOutput(self.logits.expand(len(batch), 10))  # type: ignore[arg-type]


def test_the_network_of_the_documentation_trains_and_evaluates(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    text, = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "networks.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "mynet.py").write_text(text, "utf-8")
    run = tmp_path / "run"
    done = run_cli("train", "--shards", shards, "--run", run, "--steps", "3", "--device", "cpu", "--quiet", "--policy",
                   "mynet:TwoLayers", "--set", "policy.hidden=24", cwd=tmp_path)
    assert done.code == 0, done.stderr
    found = run_cli("evaluate", run, "--device", "cpu", "--json", cwd=tmp_path)
    assert found.code == 0, found.stderr
    assert found.json["decisions"] == len(ShardDataset(shards, "val"))
    assert run_cli("train", "--run", run, "--resume", "--steps", "5", "--quiet", cwd=tmp_path).code == 0
    assert_told_in_two_lines(run_cli("train", "--policy", "mynet:TwoLayers", "--set", "policy.hiden=24", cwd=tmp_path),
                             "policy 'mynet:TwoLayers': unknown setting 'hiden'")
    assert_told_in_two_lines(run_cli("train", "--policy", "mynet:TwoLayers", "--set", "policy.hidden=5000",
                                     cwd=tmp_path), "policy.hidden = 5000: expected int <= 4096")
    assert environment()["PYTHONPATH"].split(":")[0] != str(tmp_path), "found in the current folder alone"


@pytest.mark.parametrize(("name", "words"), [
    ("nothing_here:Net", "cannot be imported (No module named 'nothing_here')"),
    ("json:Net", "cannot be imported (module 'json' has no attribute 'Net')"),
    ("json:dumps", "not a subclass of poke_bc.policy.Policy"),
    ("pathlib:Path", "not a subclass of poke_bc.policy.Policy"),
    ("nope", "there is no such network"), (":", "there is no such network"), (".a:b", "there is no such network"),
])
def test_a_network_that_is_none_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve({"policy": name})
    assert words in caught.value.what


def test_a_registered_network_is_made_saved_and_loaded_by_its_name(shards: Path, tmp_path: Path,  # noqa: F811
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "POLICIES", {**registry.POLICIES})
    register("constant", Constant)
    register("constant", Constant)
    with pytest.raises(ValueError, match="'mlp' already"):
        register("mlp", Constant)
    policy = create_policy("constant", ShardDataset(shards).manifest.schema, embedding=2)
    save_policy(policy, tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    assert isinstance(loaded, Constant)
    assert (loaded.name, loaded.options.embedding) == ("constant", 2)
    del registry.POLICIES["constant"]
    with pytest.raises(RunError, match="no such network"):
        load_policy(tmp_path / "policy")


# Weights to start from


@pytest.fixture(scope="module")
def first(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    run = tmp_path_factory.mktemp("first") / "run"
    train(small_config(shards, run, epochs=1), progress=False)
    return run


def test_a_run_starts_from_the_weights_of_another(shards: Path, first: Path, tmp_path: Path) -> None:  # noqa: F811
    config = resolve({"shards": shards, "run": tmp_path / "run", "init_from": first, "steps": 1, "lr": 1e-8,
                      "device": "cpu"}, assignments=["policy.dropout=0.0"])
    assert (config.policy.width, config.policy.to_dict()["dropout"]) == (32, 0.0)
    train(config, progress=False)
    old, new = load_policy(first), load_policy(tmp_path / "run")
    for name, tensor in old.state_dict().items():
        assert torch.allclose(tensor.float(), new.state_dict()[name].float(), atol=1e-5), name
    assert new.trained_on is not None
    assert new.trained_on.after == old.trained_on
    assert evaluate(tmp_path / "run")["nll"] == pytest.approx(evaluate(first)["nll"], abs=1e-3)
    train(resolve({"run": tmp_path / "run", "steps": 3}, resume=True), resume=True, progress=False)
    again = load_policy(tmp_path / "run", checkpoint="last").trained_on
    assert again is not None
    assert again.after == old.trained_on


def test_battles_that_the_first_weights_learned_from_are_not_unseen(first: Path, tmp_path: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    other = make_shards(tmp_path / "other", battles=10, seed=4)
    train(resolve({"shards": other, "run": tmp_path / "run", "init_from": first, "steps": 1, "device": "cpu"}),
          progress=False)
    capsys.readouterr()
    evaluate(tmp_path / "run")
    assert "not the shards that the policy was trained on" in capsys.readouterr().err


def test_ids_that_either_data_set_has_keep_their_embedding(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    saved, policy = (create_policy("mlp", ShardDataset(shards).manifest.schema, width=8) for _ in range(2))
    every = policy.ids.row_of_id.clone()
    saved.ids.row_of_id[[3, 4]] = UNKNOWN_ROW
    policy.ids.row_of_id[[4, 5]] = UNKNOWN_ROW
    save_policy(saved, tmp_path / "policy")
    start_from(policy, tmp_path / "policy")
    every[4] = UNKNOWN_ROW
    assert torch.equal(policy.ids.row_of_id, every)


def test_weights_of_another_shape_are_refused(shards: Path, first: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(RunError, match="another network") as caught:
        train(small_config(shards, tmp_path / "run", init_from=first, policy={"width": 16}), progress=False)
    assert "same network" in caught.value.hint
    with pytest.raises(UsageError, match="does not exist"):
        resolve({"init_from": tmp_path / "nowhere"})
