"""The model card of a policy, filled in from the template card.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from poke_bc.policy.base import Policy
from poke_bc.version import __version__

VALIDATION, BASELINES = "validation", "baselines"
_FIGURES = {"decisions": ("decisions", "{:,}"), "top1": ("top-1", "{:.1%}"), "top3": ("top-3", "{:.1%}"),
            "nll": ("NLL", "{:.4f}"), "ece": ("ECE", "{:.1%}")}


def model_card(policy: Policy, facts: Mapping[str, Any]) -> str:
    """The card as Markdown.

    `facts` become a list, with nested mappings indented. But figures become a table: "validation", as of
    metrics.Scores, and "baselines", name -> figures.
    """
    schema = policy.schema
    sizes = ", ".join(f"{name} {vocab.size}{' (opaque ids)' if vocab.is_open else ''}"
                      for name, vocab in schema.vocabularies.items())
    template = resources.files("poke_bc.policy").joinpath("card.md").read_text("utf-8")
    return template.format(
        name=policy.name, parameters=policy.parameter_count, producer=__version__,
        categories=schema.category_width, numbers=schema.number_width, schema=schema.name, version=schema.version,
        hash=schema.hash, fields=len(schema.fields),
        vocabularies=f"Vocabularies: {sizes}." if sizes else "No vocabularies.",
        figures="\n".join(_table(facts.get(VALIDATION), facts.get(BASELINES) or {})) or "Not evaluated at this step.",
        facts="\n".join(_lines({name: fact for name, fact in facts.items() if name not in (VALIDATION, BASELINES)}))
        or "Not recorded.",
    )


def _lines(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}- {name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}- {name}: {round(value, 4) if isinstance(value, float) else value}")
    return lines


def _table(figures: Mapping[str, Any] | None, baselines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Rows of a Markdown table: the policy, then each baseline."""
    if figures:
        shown = {name: how for name, how in _FIGURES.items() if name in figures}
        yield f"| | {' | '.join(title for title, _ in shown.values())} |"
        yield "|---|" + "--:|" * len(shown)
        for title, scores in (("**this policy**", figures), *baselines.items()):
            cells = (form.format(scores[name]) if name in scores else "" for name, (_, form) in shown.items())
            yield f"| {title.replace('_', ' ')} | {' | '.join(cells)} |"
