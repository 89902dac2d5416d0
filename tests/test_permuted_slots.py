"""Slots in random order: the same Pokémon with the same moves, and the same choice among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_networks import folder, logits_now, make, rows  # noqa: F401 - a fixture
from test_training_options import SCHEMA as FLAT

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.contract.bits import unpack_bits
from poke_bc.contract.errors import UsageError
from poke_bc.contract.field import BITS
from poke_bc.contract.schema import Schema, load_schema
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import Policy
from poke_bc.policy.masks import action_set, legal_actions
from poke_bc.train import TrainConfig
from poke_bc.train.augment import SlotPermutation, augmentation

SINGLES = load_schema("singles")
ENTITIES = {entity.name: entity for entity in SINGLES.entities}


def permuted(batch: Batch) -> Batch:
    torch.manual_seed(3)
    return SlotPermutation(SINGLES, torch.device("cpu"))(batch)


def values_of(schema: Schema, batch: Batch, name: str) -> NDArray[Any]:
    """A field's values [N, width], flags of bit fields apart."""
    field = next(each for each in schema.fields if each.name == name)
    values = (batch.category if field.is_category else batch.number)[..., schema.columns[name]].flatten(0, -2).numpy()
    if field.kind != BITS:
        return values.astype(np.float64)
    return unpack_bits(values, field.width).astype(np.float64)


def described(batch: Batch, owner: str, member: str) -> list[list[tuple[Any, ...]]]:
    """Each row's Pokémon, each with all its values and its moves with theirs, in an order that ignores slots."""
    team, moves = ENTITIES[owner], ENTITIES[member]
    of_team = np.concatenate([values_of(SINGLES, batch, name).reshape(-1, 6, values_of(
        SINGLES, batch, name).shape[1] // 6) for name in team.fields], axis=2)
    of_moves = np.stack([values_of(SINGLES, batch, name).reshape(-1, 6, 4) for name in moves.fields], axis=3)
    return [sorted((tuple(one), tuple(sorted(map(tuple, its_moves)))) for one, its_moves in zip(*row, strict=True))
            for row in zip(of_team.tolist(), of_moves.tolist(), strict=True)]


def named(batch: Batch) -> list[list[tuple[Any, ...]]]:
    """What each action of each row does, whether it is legal, a candidate and the one that was taken."""
    species_NP, hp_NP = values_of(SINGLES, batch, "own_species"), values_of(SINGLES, batch, "own_hp")
    moves_NPM = values_of(SINGLES, batch, "own_moves").reshape(-1, 6, 4)
    active_N = values_of(SINGLES, batch, "own_active").argmax(axis=1)
    damage_NM, ko_NM = values_of(SINGLES, batch, "own_move_damage"), values_of(SINGLES, batch, "own_move_ko")
    legal_NA, candidates_NA = legal_actions(batch.legal.flatten()), action_set(batch.candidates.flatten())
    found = []
    for row, active in enumerate(active_N):
        moves = [(moves_NPM[row, active, move], damage_NM[row, move], ko_NM[row, move]) for move in range(MOVE_SLOTS)]
        named = [*moves, *zip(species_NP[row], hp_NP[row], strict=True)]
        found.append(sorted((*map(float, what), bool(legal_NA[row, action]), bool(candidates_NA[row, action]),
                             int(batch.action.flatten()[row]) == action) for action, what in enumerate(named)))
    return found


@pytest.mark.parametrize("steps", [None, range(-3, 1)])
def test_the_same_pokemon_and_moves_and_the_same_choice(folder: Path, steps: range | None) -> None:  # noqa: F811
    data = ShardDataset(folder, steps=steps, censored=True)
    places = np.arange(len(data))
    places = places[data.field("own_active")[places].any(axis=1)][::7]
    batch = data.batch(places)
    some = torch.randint(1 << 10, batch.legal.shape, generator=torch.Generator().manual_seed(0), dtype=torch.int16)
    batch = Batch({**batch.tensors(), "candidates": batch.legal & some}, steps=steps)
    after = permuted(batch)
    for owner, member in (("own_pokemon", "own_move"), ("opp_pokemon", "opp_move")):
        assert described(after, owner, member) == described(batch, owner, member)
    there = ~batch.is_pad.flatten() if steps is not None else torch.ones(len(places), dtype=torch.bool)
    for kept, moved, is_there in zip(named(batch), named(after), there.tolist(), strict=True):
        assert kept == moved or not is_there
    grouped = {name for entity in SINGLES.entities for name in entity.fields}
    members = {name for entity in SINGLES.entities if entity.of for name in entity.active_fields}
    for name in {field.name for field in SINGLES.fields} - grouped - members:
        assert (values_of(SINGLES, after, name) == values_of(SINGLES, batch, name)).all(), name
    assert {name: tensor.dtype for name, tensor in after.tensors().items()} == {
        name: tensor.dtype for name, tensor in batch.tensors().items()}


def test_every_slot_is_taken_from_every_other_about_as_often(folder: Path) -> None:  # noqa: F811
    batch = ShardDataset(folder, steps=range(-1, 1)).batch(np.arange(400))
    number = batch.number.clone()
    number[..., SINGLES.columns["own_level"]] = torch.arange(6.0).to(number.dtype)
    batch = Batch({**batch.tensors(), "number": number}, steps=batch.steps)
    slot_NSP = permuted(batch).number[..., SINGLES.columns["own_level"]].to(torch.int64)
    assert torch.equal(slot_NSP[:, 0], slot_NSP[:, 1]), "the steps of a sequence alike"
    counts = torch.stack([(slot_NSP[:, 0] == slot).sum(dim=0) for slot in range(6)])
    assert counts.min() > 400 / 6 * 0.5
    assert counts.max() < 400 / 6 * 1.6
    assert len({tuple(row) for row in slot_NSP[:, 0].tolist()}) > 200


@pytest.mark.parametrize("name", ["entity", "history"])
def test_a_network_that_reads_sets_learns_the_same(folder: Path, name: str) -> None:  # noqa: F811
    policy: Policy = make(name, SINGLES)
    batch = rows(folder, policy)
    after = permuted(batch)
    before_N, after_N = (
        logits_now(policy, each).softmax(dim=1).gather(1, action.to(torch.int64)[:, None])
        for each in (batch, after) for action in [each.action if batch.steps is None else each.action[:, -1]])
    assert torch.allclose(before_N, after_N, atol=1e-4)
    assert len(before_N) > 50


def test_a_schema_without_slots_cannot_permute_them(tmp_path: Path) -> None:
    (tmp_path / "flat.toml").write_text(FLAT, "utf-8")
    with pytest.raises(UsageError, match=r"no \[\[entity\]\] with slots"):
        augmentation(TrainConfig(permute_slots=True), load_schema(str(tmp_path / "flat.toml")), torch.device("cpu"))
