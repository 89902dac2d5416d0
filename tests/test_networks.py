"""What every shipped network must hold, on converted battles of the sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from poke_bc.contract.field import BITS
from poke_bc.contract.schema import Schema, load_schema
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import POLICIES, Policy, create_policy, load_policy, save_policy
from poke_bc.policy.masks import legal_actions

SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "battles.jsonl.zst"
BY_SLOT = ("entity", "history")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("networks")
    convert_battles([str(SAMPLE)], made / "raw.jsonl", workers=1, keep_names=True, limit=12)
    preprocess([made / "raw.jsonl"], made / "shards", workers=1)
    return made / "shards"


def make(name: str, schema: Schema, **options: object) -> Policy:
    """A small one whose weights are far from those that a network starts from, so that its logits say something."""
    torch.manual_seed(0)
    policy = create_policy(name, schema, **{"width": 32, "embedding": 8, "value_head": True, "gimmick_head": True,
                                            **options})
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return policy.eval()


def rows(folder: Path, policy: Policy, *, battles_only: bool = True) -> Batch:
    """Every fifth decision, as the network reads it; of those, only where a Pokémon is in battle."""
    data = ShardDataset(folder, steps=policy.steps)
    places = np.arange(0, len(data), 5)
    if battles_only:
        places = places[data.field("own_active")[places].any(axis=1)]
    return data.batch(places)


def logits_now(policy: Policy, batch: Batch) -> Tensor:
    """Logits of the decisions themselves, of all ten actions."""
    with torch.inference_mode():
        logits: Tensor = policy.score(batch).logits
    return logits if batch.steps is None else logits[:, batch.steps.index(0)]


@pytest.mark.parametrize("name", POLICIES)
def test_illegal_actions_have_exactly_no_probability(folder: Path, name: str) -> None:
    policy = make(name, load_schema("singles"))
    batch = rows(folder, policy)
    probs = policy(batch).logits.softmax(dim=-1)
    assert not probs[~legal_actions(batch.legal)].any()
    assert (~legal_actions(batch.legal)).any()


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_saved_is_loaded_bit_by_bit(folder: Path, tmp_path: Path, name: str) -> None:
    policy = make(name, load_schema("singles"))
    batch = rows(folder, policy)
    save_policy(policy, tmp_path / "policy")
    for kept, loaded in zip(policy(batch), load_policy(tmp_path / "policy")(batch), strict=True):
        assert torch.equal(kept, loaded)


def _moved(schema: Schema, batch: Batch, order: list[int], fields: dict[str, tuple[int, ...]], axis: int) -> Batch:
    """With the values of these fields, each of a shape, in another order along an axis of it."""
    category, number = batch.category.clone(), batch.number.clone()
    for field in schema.fields:
        if field.name in fields:
            of, at = (category if field.is_category else number), schema.columns[field.name]
            values = of[..., at].numpy()
            flags = field.kind == BITS
            if flags:
                values = (values.astype(np.int64)[..., np.arange(field.width) // 11] >> np.arange(field.width) % 11) & 1
            shape = fields[field.name]
            moved = values.reshape(*values.shape[:-1], *shape, -1).take(order, axis=values.ndim - 1 + axis)
            moved = moved.reshape(*values.shape)
            if flags:
                packed = np.zeros((*moved.shape[:-1], field.columns))
                for place in range(field.width):
                    packed[..., place // 11] += moved[..., place] << place % 11
                moved = packed
            of[..., at] = torch.from_numpy(moved).to(of.dtype)
    return Batch({**batch.tensors(), "category": category, "number": number}, steps=batch.steps)


@pytest.mark.parametrize("name", BY_SLOT)
def test_exchanging_slots_exchanges_logits_and_changes_nothing_else(folder: Path, name: str) -> None:
    schema = load_schema("singles")
    policy = make(name, schema)
    batch = rows(folder, policy)
    entities = {entity.name: entity for entity in schema.entities}
    team, moves = entities["own_pokemon"], entities["own_move"]
    before = logits_now(policy, batch)

    order = [3, 0, 5, 1, 4, 2]
    after = logits_now(policy, _moved(schema, batch, order, dict.fromkeys((*team.fields, *moves.fields), (6,)), 0))
    assert torch.allclose(after[:, :4], before[:, :4], atol=1e-4)
    assert torch.allclose(after[:, 4:], before[:, [4 + slot for slot in order]], atol=1e-4)
    assert not torch.allclose(after[:, 4:], before[:, 4:], atol=1e-2)

    order = [2, 0, 3, 1]
    slots = dict.fromkeys(moves.fields, (6, 4))
    moved = _moved(schema, batch, order, slots, 1)
    moved = _moved(schema, moved, order, dict.fromkeys(moves.active_fields, (4,)), 0)
    after = logits_now(policy, moved)
    assert torch.allclose(after[:, :4], before[:, order], atol=1e-4)
    assert torch.allclose(after[:, 4:], before[:, 4:], atol=1e-4)
    assert not torch.allclose(after[:, :4], before[:, :4], atol=1e-2)


def test_centring_the_numbers_does_not_tell_slots_apart(folder: Path) -> None:
    schema = load_schema("singles")
    policy = make("entity", schema)
    data = ShardDataset(folder)
    policy.note_seen(data.chunks("category"), data.chunks("number"))
    assert policy.numbers.mean_N.any()
    for name, width in (("own_hp", 1), ("own_stats", 6), ("own_pp_used", 4)):
        mean = policy.numbers.mean_N[policy.numbers.columns[name]].view(6, width)
        assert torch.equal(mean, mean[:1].expand(6, width)), name


@pytest.mark.parametrize("name", POLICIES)
def test_one_batch_can_be_memorised(folder: Path, name: str) -> None:
    policy = make(name, load_schema("singles"), **({"dropout": 0.0} if name == "mlp" else {})).train()
    data = ShardDataset(folder, steps=policy.steps)
    batch = data.batch(np.arange(0, len(data), len(data) // 48)[:48])
    action = batch.action if batch.steps is None else batch.action[:, -1]
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-3)
    for _ in range(200):
        logits = policy(batch).logits
        loss = cross_entropy(logits if batch.steps is None else logits[:, -1], action.long())
        if loss.item() < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_later_steps_never_change_the_logits_of_earlier_ones(folder: Path) -> None:
    policy = make("history", load_schema("singles"), steps=4)
    batch = rows(folder, policy)
    with torch.inference_mode():
        before = policy(batch).logits
        for step in (1, 2, 3):
            changed = batch.clone()
            changed.category[:, step:] = changed.category[:, step:].flip(0)
            changed.number[:, step:] = changed.number[:, step:].flip(0)
            after = policy(changed).logits
            assert torch.equal(after[:, :step], before[:, :step])
            assert not torch.allclose(after[:, step:], before[:, step:])


def test_earlier_steps_are_read_and_padded_ones_are_not(folder: Path) -> None:
    policy = make("history", load_schema("singles"), steps=4)
    batch = rows(folder, policy)
    before = logits_now(policy, batch)
    assert batch.is_pad.any()
    for changes_padded in (True, False):
        changed = batch.clone()
        where = batch.is_pad if changes_padded else ~batch.is_pad
        where = where.clone()
        where[:, -1] = False
        changed.category = torch.where(where[..., None], 7, changed.category.int()).to(torch.uint16)
        changed.number[where] = 1.0
        same = torch.allclose(logits_now(policy, changed), before, atol=1e-5)
        assert same == changes_padded


def test_history_of_one_step_sees_no_other_row(folder: Path) -> None:
    schema = load_schema("singles")
    policy = make("history", schema, steps=1)
    batch = rows(folder, policy)
    assert batch.category.shape[1] == 1
    alone = Batch({name: tensor[:, 0] for name, tensor in batch.tensors().items()})
    assert torch.allclose(logits_now(policy, batch), logits_now(policy, alone), atol=1e-5)


def test_a_schema_without_entities_still_has_a_policy() -> None:
    schema = replace(load_schema("basic"), entities=()).with_sizes({"species": 30})
    policy = make("entity", schema)
    batch = Batch.from_observations(schema, [{"turn": 3}, {"turn": 4}])
    assert policy(batch).logits.shape == (2, 10)
