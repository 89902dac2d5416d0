"""The model card of a policy, filled in from the template card.md."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from poke_bc.policy.base import Policy
from poke_bc.version import __version__


def model_card(policy: Policy, facts: Mapping[str, Any]) -> str:
    """The card as Markdown; `facts` become a list, with nested mappings indented."""
    schema = policy.schema
    sizes = ", ".join(f"{name} {vocab.size}{' (opaque ids)' if vocab.is_open else ''}"
                      for name, vocab in schema.vocabularies.items())
    template = resources.files("poke_bc.policy").joinpath("card.md").read_text("utf-8")
    return template.format(
        name=policy.name, parameters=sum(weight.numel() for weight in policy.parameters()), producer=__version__,
        categories=schema.category_width, numbers=schema.number_width, schema=schema.name, version=schema.version,
        hash=schema.hash, fields=len(schema.fields),
        vocabularies=f"Vocabularies: {sizes}." if sizes else "No vocabularies.",
        facts="\n".join(_lines(facts)) or "Not recorded.",
    )


def _lines(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}- {name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}- {name}: {round(value, 4) if isinstance(value, float) else value}")
    return lines
