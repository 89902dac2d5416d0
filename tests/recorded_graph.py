"""A CUDA graph that needs no device: what was captured runs again on the same memory, whatever Python says now.

Operations are written down below autograd, with the tensors and numbers they had. A replay does them again on the
same tensors. So a learning rate that is a Python number, an input that is a new tensor each time, or a branch taken
on a value stay what they were at the capture, as in a real graph, and the results show it. As a real capture does,
it leaves no trace in memory or random state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Operation = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]


def record_graph(work: Callable[[], None]) -> Callable[[], None]:
    """What `work` queues, to be done by calling what is returned."""
    random_state = torch.get_rng_state()
    recorder = _Recorder()
    with recorder:
        work()
    for tensor, before in recorder.overwritten.values():
        tensor.copy_(before)
    torch.set_rng_state(random_state)

    def replay() -> None:
        for function, args, kwargs, results in recorder.operations:
            again = function(*args, **kwargs)
            for there, here in zip(results, _tensors(again), strict=False):  # none where it wrote in place
                if here.data_ptr() != there.data_ptr():
                    there.copy_(here)

    return torch.no_grad()(replay)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.overwritten: dict[int, tuple[Tensor, Tensor]] = {}
        """Address -> a tensor from outside that the work writes to, and what it held before."""
        self._made: dict[int, Tensor] = {}
        """Storages made by the work; kept, as a graph keeps its memory."""

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a captured step must not read a number from the device")
        for argument, value in zip(function._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._remember(value)
        results = function(*args, **kwargs)
        fresh = [] if _is_view_or_in_place(function) else _tensors(results)
        for tensor in fresh:
            self._made[tensor.untyped_storage().data_ptr()] = tensor
        if fresh or not _is_view(function):
            self.operations.append((function, args, kwargs, fresh))
        return results

    def _remember(self, written: Any) -> None:
        for tensor in _tensors(written):
            if tensor.untyped_storage().data_ptr() not in self._made:
                self.overwritten.setdefault(tensor.data_ptr(), (tensor.detach(), tensor.detach().clone()))


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _is_view(function: Any) -> bool:
    """Whether it returns a window on memory of its arguments, and writes nothing: a replay need not do it again."""
    aliases = [each.alias_info for each in function._schema.arguments if each.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


def _is_view_or_in_place(function: Any) -> bool:
    return any(each.alias_info is not None for each in function._schema.arguments)
