from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_fixtures import shards  # noqa: F401 - a fixture

from poke_bc.contract.actions import ALL_ACTIONS, GIMMICKS
from poke_bc.contract.errors import RunError, UsageError
from poke_bc.contract.field import Field
from poke_bc.contract.schema import Schema, load_schema
from poke_bc.contract.vocabulary import Vocabulary
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import Policy, PolicyOutput, TrainedOn, check_fits, create_policy, load_policy, save_policy
from poke_bc.policy.inputs import UNKNOWN_ROW, slots_of
from poke_bc.policy.masks import legal_actions
from poke_bc.policy.mlp import Dropout, MLPOptions, ResidualMLP
from poke_bc.train.loss import imitation_loss

FIELDS = (
    Field(name="own", kind="category", vocab="species", low=0, high=65535),
    Field(name="seen", kind="category", vocab="species", width=2, low=0, high=65535),
    Field(name="item", kind="category", vocab="item", low=0, high=3),
    Field(name="turn", kind="integer", low=0, high=1000, scale=50),
    Field(name="boost", kind="number", low=-6, high=6),
)
SCHEMA = Schema("toy", 1, FIELDS, {"species": Vocabulary("species", None, 9),
                                   "item": Vocabulary.closed("item", ("leftovers", "berry"))})


def make(schema: Schema = SCHEMA, **options: object) -> Policy:
    torch.manual_seed(0)
    return create_policy("mlp", schema, **{"width": 16, "blocks": 1, "embedding": 4, "facts": False, **options})


def some(*shape: int, seed: int = 0, steps: range | None = None) -> Batch:
    """Random rows; of the shape [64], if none is given."""
    random, shape = np.random.default_rng(seed), shape or (64,)
    return Batch({"category": torch.from_numpy(random.integers(0, 4, (*shape, 4)).astype(np.uint16)),
                  "number": torch.from_numpy(random.random((*shape, 2)).astype(np.float16)),
                  "legal": torch.from_numpy(random.integers(1, ALL_ACTIONS + 1, shape).astype(np.int16))}, steps=steps)


def test_illegal_actions_have_no_probability_and_unrecorded_masks_allow_all_ten() -> None:
    batch = some()
    batch.legal[0] = 0
    logits = make()(batch).logits
    bits = torch.where(batch.legal == 0, ALL_ACTIONS, batch.legal.int())
    assert logits.dtype == torch.float32
    for action in range(10):
        assert torch.equal(logits[:, action] == -torch.inf, (bits >> action) & 1 == 0)


def test_an_untrained_policy_gives_nearly_equal_probabilities() -> None:
    batch = some()
    batch.legal[:] = 0
    probs = make()(batch).logits.softmax(dim=1)
    assert (probs - 0.1).abs().max() < 0.02


def test_fields_of_one_vocabulary_share_its_embeddings_and_others_do_not() -> None:
    policy = make()
    own, seen1, seen2, item = policy.ids(torch.tensor([[3, 3, 3, 3]]))[0]
    assert torch.equal(own, seen1)
    assert torch.equal(own, seen2)
    assert not torch.equal(own, item)


def test_unseen_ids_are_one_unknown_that_stays_zero_in_training() -> None:
    policy = make()
    policy.note_seen([torch.tensor([[1, 2, 2, 0]]), torch.tensor([[2, 1, 1, 3]])])
    category = torch.tensor([[1, 5, 9, 0], [2, 0, 65535, 2]])  # 9 and 65535 are beyond the table
    vectors = policy.ids(category)
    unknown = torch.tensor([[False, True, True, False], [False, True, True, True]])
    assert torch.equal((vectors == 0).all(dim=2), unknown)

    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1)
    for _ in range(3):
        policy(Batch({"category": category, "number": torch.rand(2, 2), "legal": torch.zeros(2)})
               ).logits.square().sum().backward()
        optimizer.step()
    assert not policy.ids.table.weight[UNKNOWN_ROW].any()
    assert not policy.ids(category)[unknown].any()


def test_what_training_sees_comes_from_the_shards(shards: Path) -> None:  # noqa: F811
    data = ShardDataset(shards, "train")
    policy = make(data.manifest.schema)
    policy.note_seen([data.batch(np.arange(len(data))).category])
    known = policy.ids(torch.arange(20)[:, None].expand(-1, 18))[:, 0].any(dim=1)
    seen = np.union1d(np.union1d(data.field("active_species_id"), data.field("opp_active_species_id")),
                      data.field("opp_team_revealed"))
    assert known.nonzero().flatten().tolist() == seen.tolist()


def test_numbers_are_scaled_by_their_range() -> None:
    scaled = make().numbers(torch.tensor([[50.0, 0.0], [0.0, -6.0], [100.0, 6.0]], dtype=torch.float16))
    assert scaled.tolist() == [[1.0, 0.5], [0.0, 0.0], [2.0, 1.0]]


def test_a_network_gets_a_number_for_each_of_the_flags_that_share_a_column() -> None:
    fields = (Field(name="turn", kind="integer", high=10), Field(name="volatiles", kind="bits", width=14),
              Field(name="hp", kind="number", high=2))
    schema = Schema("bits", 1, fields, {})
    flags = [place % 3 == 0 for place in range(14)]
    batch = Batch.from_observations(schema, [{"turn": 5, "volatiles": flags, "hp": 2.0}, {}])
    scaled = make(schema).numbers(batch.number)
    assert scaled.tolist() == [[0.5, 1.0, *map(float, flags)], [0.0] * 16]
    assert make(schema)(batch).logits.shape == (2, 10)


@pytest.mark.parametrize("fields", [FIELDS[:3], FIELDS[3:]], ids=["categories only", "numbers only"])
def test_a_schema_may_lack_a_kind_of_field_or_any_known_id(fields: tuple[Field, ...]) -> None:
    names = {field.vocab for field in fields if field.vocab}
    schema = Schema("half", 1, fields, {name: Vocabulary(name, None, 0) for name in sorted(names)})
    output = make(schema)(Batch({"category": torch.ones(5, schema.category_width, dtype=torch.uint16),
                                 "number": torch.ones(5, schema.number_width), "legal": torch.zeros(5)}))
    assert output.logits.isfinite().all()


def test_the_value_head_is_optional() -> None:
    assert make(value_head=False)(some()).value is None
    assert make()(some()).value.shape == (64,)


def test_bfloat16_still_gives_masked_float32_logits() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = make(value_head=True)(some())
    assert output.logits.dtype == output.value.dtype == torch.float32


def test_act_takes_only_legal_actions_and_ignores_dropout() -> None:
    policy = make(dropout=0.5).train()
    batch = some(500)
    best = policy.act(batch, sample=False)
    assert torch.equal(best, policy.act(batch, sample=False))
    for temperature in (0.01, 1.0, 100.0):
        taken = policy.act(batch, temperature=temperature)
        assert ((batch.legal.int() >> taken) & 1).all()
    assert torch.equal(policy.act(batch, temperature=1e-9), best)
    assert policy.training
    with pytest.raises(ValueError, match="temperature"):
        policy.act(batch, temperature=0.0)


def test_sampling_follows_the_probabilities_and_its_generator() -> None:
    policy = make().eval()
    one = some(1)
    many = Batch({name: tensor.expand(20_000, *tensor.shape[1:]) for name, tensor in one.tensors().items()})
    taken = [policy.act(many, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*taken)
    probs = policy(one).logits[0].softmax(dim=0)
    frequencies = torch.bincount(taken[0], minlength=10) / 20_000
    assert (frequencies - probs).abs().max() < 0.02


def test_a_network_of_single_rows_judges_every_step_of_a_sequence_and_acts_on_step_0() -> None:
    policy = make(value_head=True).eval()
    batch = some(30, 4, steps=range(-2, 2))
    output = policy(batch)
    assert output.logits.shape == (30, 4, 10)
    assert output.gimmick is None
    for place, step in enumerate(batch.steps):
        alone = policy(batch.at(step))
        torch.testing.assert_close(output.logits[:, place], alone.logits)
        torch.testing.assert_close(output.value[:, place], alone.value)
    assert torch.equal(policy.act(batch, sample=False), policy.act(batch.at(0), sample=False))


class Recall(ResidualMLP):
    """A network of history: judges step 0 by the sum of all steps that are there, and has a gimmick head."""

    def __init__(self, schema: Schema, options: MLPOptions) -> None:
        super().__init__(schema, options)
        self.to_gimmick = torch.nn.Linear(10, 4 * len(GIMMICKS))

    def score(self, batch: Batch) -> PolicyOutput:
        logits = super().score(batch).logits.masked_fill(batch.is_pad[..., None], 0).sum(dim=1)
        return PolicyOutput(logits, gimmick=self.to_gimmick(logits.bfloat16().float()).double().unflatten(-1, (4, -1)))


def test_a_network_of_history_is_masked_by_the_legal_actions_of_step_0() -> None:
    policy = Recall(SCHEMA, MLPOptions(width=16, blocks=1, embedding=4)).eval()
    batch = some(30, 3, steps=range(-2, 1))
    batch.is_pad = torch.rand(30, 3) < 0.3
    output = policy(batch)
    assert torch.equal(output.logits == -torch.inf, ~legal_actions(batch.at(0).legal))
    assert output.gimmick is None  # the schema does not say which gimmicks are available
    assert ((batch.at(0).legal.int() >> policy.act(batch)) & 1).all()


def test_gimmicks_of_step_0_are_masked_by_what_was_available_then() -> None:
    field = Field(name="own_can_gimmick", kind="flag", width=4)
    schema = Schema("toy", 1, (*FIELDS, field), SCHEMA.vocabularies)
    policy = Recall(schema, MLPOptions(width=16, blocks=1, embedding=4))
    batch = some(30, 3, steps=range(-2, 1))
    batch.is_pad = torch.rand(30, 3) < 0.3
    available = torch.rand(30, 3, 4) < 0.5
    batch.number = torch.cat([batch.number, available.half()], dim=-1)
    gimmick = policy.eval()(batch).gimmick
    assert gimmick.shape == (30, 4, 5)
    assert gimmick.dtype == torch.float32
    none_too = torch.cat([torch.ones(30, 1, dtype=torch.bool), available[:, 2]], dim=1)
    assert torch.equal(gimmick.isfinite(), none_too[:, None].expand(30, 4, 5))


@pytest.mark.parametrize(("name", "options", "words", "hint"), [
    ("mpl", {}, r"policy\.name = 'mpl': there is no such network", "did you mean 'mlp'?"),
    ("mlp", {"widht": 8}, "policy 'mlp': unknown setting 'widht'", "did you mean 'width'?"),
    ("mlp", {"width": 0}, r"policy\.width = 0: expected int >= 1", "docs/settings.md"),
    ("mlp", {"dropout": 1.0}, r"policy\.dropout = 1\.0: expected float < 1\.0", "docs/settings.md"),
    ("mlp", {"value_head": 1}, r"policy\.value_head = 1: expected bool, got int", "docs/settings.md"),
])
def test_unknown_names_and_invalid_options_are_refused(
    name: str, options: dict[str, Any], words: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        create_policy(name, SCHEMA, **options)
    assert hint in caught.value.hint


def test_a_saved_policy_comes_back_whole(tmp_path: Path) -> None:
    policy = make(value_head=True)
    policy.note_seen([torch.tensor([[1, 2, 3, 0]])])
    policy.trained_on = TrainedOn(data="0123", split="4567", decisions=55, actions=tuple(range(1, 11)))
    save_policy(policy, tmp_path / "policy", card={"decisions": 12, "data": {"rows": 7},
                                                   "validation": {"nll": 1.25, "top1": 0.5},
                                                   "baselines": {"uniform_legal": {"top1": 0.125, "nll": 2}}})
    again = load_policy(tmp_path / "policy")
    assert not again.training
    assert again.schema == policy.schema
    assert again.options == policy.options
    assert again.trained_on == policy.trained_on
    assert torch.equal(again(some()).logits, policy.eval()(some()).logits)
    card = (tmp_path / "policy" / "README.md").read_text()
    assert "- data:\n  - rows: 7" in card
    assert "| | top-1 | NLL |\n|---|--:|--:|\n| **this policy** | 50.0% | 1.2500 |\n| uniform legal |" in card
    assert "load_policy" in card
    assert SCHEMA.hash in card


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_policy(make(), tmp_path / "policy")
    return tmp_path / "policy"


@pytest.mark.parametrize("name", ["config.json", "policy.safetensors", "schema.json", "vocabularies.json"])
def test_a_flipped_bit_or_a_missing_file_is_named(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(RunError, match=name):
        load_policy(saved)
    (saved / name).unlink()
    with pytest.raises((RunError, UsageError), match="no policy here" if name == "config.json" else name):
        load_policy(saved)


def test_another_format_version_is_named(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(RunError, match="format 99"):
        load_policy(saved)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_policy(tmp_path / "nothing")


def test_a_policy_is_found_from_its_run_and_its_checkpoint(saved: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000007"
    shutil.copytree(saved, checkpoint / "policy")
    (tmp_path / "run" / "last").symlink_to("checkpoints/step-00000007")
    for path in (checkpoint, tmp_path / "run", tmp_path / "run" / "last"):
        assert load_policy(path).name == "mlp"
    assert load_policy(tmp_path / "run", checkpoint="step-00000007").name == "mlp"
    with pytest.raises(UsageError, match="step-00000008"):
        load_policy(tmp_path / "run", checkpoint="step-00000008")


def test_shards_of_another_schema_are_refused_by_name(shards: Path) -> None:  # noqa: F811
    manifest = ShardDataset(shards).manifest
    check_fits(make(manifest.schema), manifest)
    check_fits(make(load_schema("basic")), replace(manifest))  # vocabulary sizes may differ
    with pytest.raises(RunError, match=r"schema toy version 1 .* schema basic version 1"):
        check_fits(make(), manifest)


def a_loss(policy: Policy, batch: Batch) -> torch.Tensor:
    """The mean loss of choosing the lowest legal action."""
    legal = batch.legal
    lowest = (legal & -legal).float().log2().to(torch.int8)
    return imitation_loss(policy(batch).logits, legal, lowest, torch.zeros_like(legal), torch.ones(len(legal)),
                          label_smoothing=0.1).mean()


def test_every_gradient_in_bfloat16_is_near_that_in_float32() -> None:
    policy = make(width=64, blocks=2, dropout=0.0, value_head=False)
    policy.note_seen([torch.arange(4)[:, None].expand(-1, 4)])
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in policy.named_parameters():  # an untrained head lets almost no gradient through
            weight += 0.02 * torch.randn_like(weight) * (name != "ids.table.weight")
    exact, rough = policy, copy.deepcopy(policy)
    a_loss(exact, some(1024)).backward()
    with torch.autocast("cpu", torch.bfloat16):
        loss = a_loss(rough, some(1024))
    loss.backward()
    off = {name: ((weight.grad - expected.grad).norm() / expected.grad.norm()).item()
           for (name, weight), expected in zip(rough.named_parameters(), exact.parameters(), strict=True)}
    assert {name: error for name, error in off.items() if error > 0.02} == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_policy_computes_and_learns_in_any_float_type(dtype: torch.dtype) -> None:
    policy = make(value_head=True, dropout=0.1).to(dtype).train()
    output = policy(some())
    assert output.logits.dtype == output.value.dtype == torch.float32
    (a_loss(policy, some()) + output.value.mean()).backward()
    for name, weight in policy.named_parameters():
        assert weight.grad.dtype == dtype, name
        assert weight.grad.any(), name


def test_a_policy_learns_whatever_the_default_type() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        policies = [make().float(), make()]
        for policy in policies:
            a_loss(policy, some()).backward()
    finally:
        torch.set_default_dtype(torch.float32)
    assert [policy.ids.table.weight.grad.dtype for policy in policies] == [torch.float32, torch.float64]


@pytest.mark.parametrize("randomness", [None, "same", "different"])
def test_torch_func_gives_the_gradient_of_each_sample(randomness: str | None) -> None:
    policy = make(dropout=0.2 if randomness else 0.0)
    policy.note_seen([torch.arange(4)[:, None].expand(-1, 4)])
    batch, weights = some(8), {name: weight.detach() for name, weight in policy.named_parameters()}
    rows = {**batch.tensors(), "category": batch.category.int()}

    def loss(weights: dict[str, torch.Tensor], row: dict[str, torch.Tensor]) -> torch.Tensor:
        alone = Batch({name: column[None] for name, column in row.items()})
        output = torch.func.functional_call(policy, weights, (alone,))
        return output.logits[0].clamp(min=-100).logsumexp(0) - output.logits[0].max()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness=randomness or "error")(weights, rows)
    if randomness is None:
        for place in range(8):
            one = torch.func.grad(loss)(weights, {name: column[place] for name, column in rows.items()})
            for name, expected in one.items():
                torch.testing.assert_close(each[name][place], expected)
    assert each["ids.table.weight"].any(dim=2).sum(dim=1).min() > 0


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own affair
def test_a_policy_in_training_compiles_as_one_graph() -> None:
    policy = make(dropout=0.2, value_head=False).train()
    torch._dynamo.reset()
    compiled = torch.compile(policy, backend="eager", fullgraph=True)
    batch = some()
    (compiled(batch).logits.clamp(min=-100) ** 2).mean().backward()
    assert all(weight.grad.any() for weight in policy.parameters())
    policy.eval()
    for other in (batch, some(seed=1), Batch(batch.tensors(), position=99), some(64, 3, steps=range(-1, 2))):
        assert torch.allclose(compiled(other).logits, policy(other).logits)


def test_the_table_s_gradient_is_that_of_an_embedding_whatever_the_precision() -> None:
    policy = make()
    policy.note_seen([torch.tensor([[1, 2, 3, 0]]), torch.tensor([[4, 5, 6, 1]])])
    category = some(9_000).category  # 36,000 look-ups: more than are summed at once
    table = policy.ids.table.weight
    incoming = torch.randn(9_000, 4, 4, generator=torch.Generator().manual_seed(1))
    (policy.ids(category) * incoming).sum().backward()
    got = table.grad.clone()
    rows = policy.ids.row_of_id[policy.ids.places(category)]
    expected = torch.autograd.grad((policy.ids.table(rows) * incoming).sum(), table)[0]
    assert torch.allclose(got, expected, atol=1e-3)
    assert not got[UNKNOWN_ROW].any()

    table.grad = None
    (policy.ids(category, torch.bfloat16) * incoming.bfloat16()).sum().backward()
    assert (table.grad - expected).norm() < 0.01 * expected.norm()


def test_dropout_drops_its_fraction_and_keeps_the_mean() -> None:
    dropout = Dropout(0.1)
    x = torch.ones(1001, 999, requires_grad=True)
    torch.manual_seed(0)
    dropped = dropout(x)
    dropped.sum().backward()
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=0.001)
    assert dropped.mean().item() == pytest.approx(1, abs=0.001)
    assert torch.equal(x.grad, dropped)
    zeros = (dropped == 0).float() - 0.1
    assert abs((zeros[:, 1:] * zeros[:, :-1]).mean()) < 0.001  # neighbours share a random word
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    assert torch.equal(dropout.train()(x), dropped)


@pytest.mark.parametrize("p", [1e-6, 2**-16, 0.1, 1 - 2**-15, 1 - 2**-16, 1 - 2**-17, 1 - 2**-20, 1.0])
@pytest.mark.filterwarnings("error")
def test_what_dropout_keeps_has_the_scale_of_its_fraction_up_to_the_ends(p: float) -> None:
    torch.manual_seed(0)
    kept = Dropout(p)(torch.ones(1 << 22))
    scales = kept[kept > 0].unique()
    rounded = round(p * 65536) / 65536
    expected = rounded if 0 < rounded < 1 else p
    assert len(scales) <= 1
    if len(scales):
        assert scales.item() == pytest.approx(1 / (1 - expected), rel=1e-6)
    count = (1 - expected) * (1 << 22)
    assert abs((kept > 0).sum().item() - count) <= 5 * (count * expected) ** 0.5 + 1e-9


def test_dropout_draws_where_its_input_is() -> None:
    x = torch.ones(100)
    with torch.device("meta"):
        assert Dropout(0.5)(x).device.type == "cpu"


def test_numbers_are_centred_on_the_rows_that_training_sees(folders: dict[str, Path]) -> None:
    data = ShardDataset(folders["one"], "train")
    policy = create_policy("mlp", data.manifest.schema)
    number = data.batch(np.arange(len(data))).number
    before = policy.numbers(number)
    policy.note_seen([data.batch(np.arange(len(data))).category], number.split(7))
    mean_N = before.mean(dim=0)
    for name, slots in slots_of(data.manifest.schema).items():  # share a mean, since their order must not matter
        if (columns := policy.numbers.columns.get(name)) is not None:
            mean_N[columns] = mean_N[columns].view(slots, -1).mean(dim=0).repeat(slots)
    assert torch.allclose(policy.numbers(number), before - mean_N, atol=1e-6)
    assert before.mean(dim=0).abs().max() > 0.1
