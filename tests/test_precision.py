from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.per_field import plain_optimizer, plain_step, with_the_weights_of
from command_line import run_cli
from safetensors.torch import load_file
from training_fixtures import shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.setup as setup
import poke_bc.train.step as step_module
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.policy import Policy, create_policy
from poke_bc.train import Interrupted, TrainConfig, train
from poke_bc.train.setup import cpu_has_bfloat16, make_optimizer, settle
from poke_bc.train.step import train_step

WIDE = {"policy": {"width": 64}, "epochs": 1.0}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "policy" / "policy.safetensors")


def wide_policy(data: ShardDataset) -> Policy:
    torch.manual_seed(0)
    policy = create_policy("mlp", data.manifest.schema, width=64, blocks=2, dropout=0.0, value_head=False)
    policy.note_seen(data.chunks("category"))
    return policy


def losses(data: ShardDataset, policy: Policy, *, bfloat16: bool = False, steps: int = 20) -> torch.Tensor:
    """Losses [steps] of training `policy`."""
    config = small_config(data.shards.folder, Path("unused"))
    optimizer = make_optimizer(policy, config)
    with BatchFeeder(data, 64, seed=1, stop=64 * steps) as feeder:
        return torch.stack([train_step(policy, optimizer, batch, config, bfloat16=bfloat16)[0] for batch in feeder])


def test_the_packed_network_trains_as_its_plain_form_does(shards: Path) -> None:  # noqa: F811
    data = ShardDataset(shards, "train")
    policy = wide_policy(data)
    peer = with_the_weights_of(policy)
    config = small_config(shards, Path("unused"), weight_decay=0.0)  # which the plain form puts on all weights
    optimizer = plain_optimizer(peer, config)
    with BatchFeeder(data, 64, seed=1, stop=64 * 20) as feeder:
        expected = torch.stack([plain_step(peer, optimizer, batch, config) for batch in feeder])
    ours = make_optimizer(policy, config)
    with BatchFeeder(data, 64, seed=1, stop=64 * 20) as feeder:
        got = torch.stack([train_step(policy, ours, batch, config, bfloat16=False)[0] for batch in feeder])
    assert got[0].item() == pytest.approx(expected[0].item(), abs=1e-6)
    assert torch.allclose(got.float(), expected, atol=1e-3)


def test_bfloat16_trains_to_the_losses_of_float32(shards: Path) -> None:  # noqa: F811
    data = ShardDataset(shards, "train")
    whole, half = (losses(data, wide_policy(data), bfloat16=bfloat16) for bfloat16 in (False, True))
    assert not torch.equal(whole, half)
    assert torch.allclose(whole, half, rtol=0.01)
    assert whole[-5:].mean() < 0.98 * whole[:5].mean()


@pytest.mark.parametrize(("flags", "has"), [
    ("avx512f avx512_bf16 fsrm", True), ("amx_bf16 avx512f", True), ("avx512f avx512_vnni bf16", False), (None, False)])
def test_a_cpu_s_flags_tell_whether_it_multiplies_bfloat16(tmp_path: Path, flags: str | None, has: bool) -> None:
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") == has


@pytest.mark.parametrize(("has", "width", "precision"), [
    (True, 64, "bfloat16"), (True, 32, "float32"), (False, 64, "float32")])
def test_auto_takes_bfloat16_where_the_cpu_has_it_and_the_network_is_wide(
        shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
        has: bool, width: int, precision: str) -> None:
    monkeypatch.setattr(setup, "cpu_has_bfloat16", lambda: has)
    train(small_config(shards, tmp_path / "run", policy={"width": width}, steps=1), progress=False)
    assert TrainConfig.read(tmp_path / "run").precision == precision


def test_a_run_goes_on_in_the_precision_it_began_with(shards: Path, tmp_path: Path,  # noqa: F811
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "cpu_has_bfloat16", lambda: True)
    train(small_config(shards, tmp_path / "whole", **WIDE), progress=False)

    original = step_module.train_step

    def interrupted(*args: Any, **kwargs: Any) -> torch.Tensor:
        signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "train_step", interrupted)
        with pytest.raises(Interrupted):
            train(small_config(shards, tmp_path / "run", **WIDE), progress=False)
    monkeypatch.setattr(setup, "cpu_has_bfloat16", lambda: False)  # as on another machine
    train(small_config(shards, tmp_path / "run", **WIDE), resume=True, progress=False)

    expected, got = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.parametrize(("able", "precision"), [(1, "bfloat16"), (0, "float32")])
def test_auto_on_a_gpu_depends_on_that_gpu_and_not_on_the_current_one(
        monkeypatch: pytest.MonkeyPatch, able: int, precision: str) -> None:
    current = [0]

    @contextlib.contextmanager
    def on(device: torch.device) -> Iterator[None]:
        current.append(device.index)
        yield
        current.pop()

    monkeypatch.setattr(setup, "pick_device", lambda name, _ranks: torch.device(name))
    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported",
                        lambda including_emulation=True: including_emulation or current[-1] == able)
    config = small_config(Path("unused"), Path("unused"), device="cuda:1")
    assert settle(config, None).precision == precision


def test_the_command_tells_the_precision(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--shards", shards, "--steps", "2", "--batch-size", "16", "--device", "cpu")
    told = run_cli("train", *options, "--run", tmp_path / "told")
    precision = TrainConfig.read(tmp_path / "told").precision
    assert f"/s in {precision}, " in told.stdout
    assert run_cli("train", *options, "--run", tmp_path / "json", "--json").json["precision"] == precision
