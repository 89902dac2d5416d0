"""A policy as one ONNX file, which needs neither this package nor torch: docs/export.md.

    inputs    category   uint16 [batch, C]      ids, packed as in a shard
              number     float16 [batch, K]     numbers, packed as in a shard
              legal      bool [batch, 10]       all false: not known, so that every action may be chosen
              is_pad     bool [batch, S]        for networks that read S steps: the battle has no such step. Their
                                                category and number are [batch, S, ...], the decision itself last
    outputs   logits     float32 [batch, 10]    masked, and divided by the policy's temperature
              value      float32 [batch]        with a value head: the predicted return
              gimmick    float32 [batch, 4, 5]  with a gimmick head: of each move, masked
    metadata  schema     schema.json: how an observation is packed

    B decisions   S steps of a sequence   A the ten actions
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.errors import RunError, UsageError
from poke_bc.contract.field import BITS, FLAGS_A_COLUMN
from poke_bc.contract.files import atomic_write
from poke_bc.data.batch import Batch
from poke_bc.policy.base import Policy, PolicyOutput
from poke_bc.policy.store import load_policy
from poke_bc.version import __version__

TOLERANCE = 1e-5
"""How far an exported file may be from the policy's own output; of numbers above 1, this fraction of them."""
_CHECKED = 64
_TRACED = 3  # rows; of 0 or 1, torch would take the size for a constant


@dataclass(frozen=True)
class Exported:
    """An exported policy."""

    path: str
    bytes: int
    inputs: dict[str, list[int | str]]
    """Name -> shape."""
    outputs: dict[str, list[int | str]]
    rows: int
    """Random decisions for which the file was compared with the policy."""
    difference: float
    """Largest difference among them."""


def export_onnx(run: str | Path, out: str | Path, *, checkpoint: str = "best") -> Exported:
    """Write a policy as an ONNX file, after comparing what it computes with the policy.

    Args:
        run: a run, checkpoint or policy folder.
        out: the file to write.
        checkpoint: as in `load_policy`.

    Raises UsageError without the packages of the extra `export`, RunError where torch cannot export the network or the
    file would compute something else, and what `load_policy` raises.
    """
    policy = load_policy(run, checkpoint=checkpoint)
    _need_packages()
    from onnxruntime import InferenceSession

    content = _to_onnx(policy, run)
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs = _random_inputs(policy, _CHECKED)
    found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.inference_mode():
        wanted = _Function(policy)(**inputs)
    difference = max(_difference(one, other.numpy()) for one, other in zip(found, wanted, strict=True))
    if not difference <= TOLERANCE:
        raise RunError(f"{run}: as ONNX it computes something else (off by {difference:.2g})",
                       hint="pip install --upgrade onnx onnxscript onnxruntime")
    with atomic_write(Path(out)) as file:
        file.write(content)
    return Exported(str(out), len(content), {each.name: each.shape for each in session.get_inputs()},
                    {each.name: each.shape for each in session.get_outputs()}, _CHECKED, difference)


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f"exporting needs {error.name}, which is not installed",
                         hint="pip install 'poke-bc[export]'") from None


class _Function(nn.Module):
    """The policy as a function of the file's inputs; returns the outputs that it has, in the order of PolicyOutput."""

    bit_A: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.register_buffer("bit_A", 1 << torch.arange(NUM_ACTIONS), persistent=False)

    def forward(self, category: Tensor, number: Tensor, legal: Tensor, is_pad: Tensor | None = None) -> list[Tensor]:
        return [each for each in self.output(category, number, legal, is_pad) if each is not None]

    def output(self, category: Tensor, number: Tensor, legal: Tensor, is_pad: Tensor | None = None) -> PolicyOutput:
        """What the policy puts out for the decisions themselves."""
        columns = {"category": category, "number": number, "legal": (legal * self.bit_A).sum(dim=1)}
        steps = self.policy.steps
        if is_pad is None or steps is None:
            return PolicyOutput(*self.policy(Batch(columns)))
        columns |= {"legal": columns["legal"][:, None].expand(-1, len(steps)), "is_pad": is_pad}
        batch = Batch(columns, steps=steps)
        return PolicyOutput(*self.policy(batch)).of_decisions(batch)


def _to_onnx(policy: Policy, where: str | Path) -> bytes:
    network, inputs = _Function(policy).eval(), _random_inputs(policy, _TRACED)
    batch = torch.export.Dim("batch")
    with _quiet(), torch.no_grad():
        names = [name for name, each in network.output(**inputs)._asdict().items() if each is not None]
        try:
            program = torch.onnx.export(
                network, tuple(inputs.values()), input_names=list(inputs), output_names=names, dynamo=True,
                dynamic_shapes={name: {0: batch} for name in inputs}, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise RunError(f"{where}: torch cannot export this network ({reason})",
                           hint="its `score` must be made of torch's operations and not branch on values") from None
    assert program is not None
    model = program.model_proto
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]  # the paths of the files in which it was made
    for name, value in {"schema": json.dumps(policy.schema.to_dict()), "schema_hash": policy.schema.hash,
                        "producer": f"poke-bc {__version__}"}.items():
        model.metadata_props.add(key=name, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about torchvision, its own code and names of dimensions."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _random_inputs(policy: Policy, rows: int) -> dict[str, Tensor]:
    """Values that the schema allows, and ids beyond its vocabularies; the first row's actions are not known."""
    random, schema = np.random.default_rng(0), policy.schema
    shape = (rows,) if policy.steps is None else (rows, len(policy.steps))
    category = np.empty((*shape, schema.category_width), np.uint16)
    number = np.empty((*shape, schema.number_width), np.float16)
    for field in schema.categories:
        at = category[..., schema.columns[field.name]]
        at[...] = random.integers(0, min(schema.vocabularies[field.vocab].size + 2, 1 << 16), at.shape)
    for field in schema.numbers:
        at = number[..., schema.columns[field.name]]
        at[...] = (random.integers(0, 1 << FLAGS_A_COLUMN, at.shape) if field.kind == BITS
                   else random.uniform(field.low, field.high, at.shape))
    legal = random.random((rows, NUM_ACTIONS)) < 0.5
    legal[1:, 0] = True
    legal[0] = False
    inputs = {"category": category, "number": number, "legal": legal}
    if policy.steps is not None:
        steps = np.array(policy.steps)
        inputs["is_pad"] = (steps < 0) & (steps < -random.integers(0, len(steps) + 1, (rows, 1)))
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def _difference(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest difference, of numbers above 1 as a fraction; infinite where only one is masked."""
    if found.shape != wanted.shape or (np.isfinite(found) != np.isfinite(wanted)).any():
        return float("inf")
    found, wanted = found[np.isfinite(wanted)], wanted[np.isfinite(wanted)]
    return float((np.abs(found - wanted) / np.abs(wanted).clip(1)).max(initial=0))
