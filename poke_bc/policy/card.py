"""The model card: what somebody who finds the policy needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poke_bc.policy.base import Policy
from poke_bc.version import __version__

_TEMPLATE = """\
# A Pokémon battle policy that imitates people

A `{name}` network with {parameters:,} parameters, trained by behaviour cloning with
poke-bc {producer}: given what one player could know, it says how likely a
human would take each of the ten actions (0-3: move slot, 4-9: switch to team slot).

## Use

```python
from poke_bc import Batch, load_policy

policy = load_policy("path/to/this/folder")
batch = Batch.from_observations(policy.schema, [observation], legal=[legal])   # a dict, and ten booleans
action = policy.act(batch)[0]
```

## What it reads

Schema `{schema}` version {version} (hash `{hash}`): {fields} fields in {categories} category columns and {numbers}
number columns. {vocabularies}

## How it was made

{facts}

## Limits

- It imitates; it does not plan. It plays like the people in its data, mistakes included.
- Opaque ids are those of the program that wrote the training files: ids of other converters do not fit.
- Ids that never occurred in training are read as unknown.
- Its figures hold for battles like those it was trained on, and for decisions with more than one legal action.
"""


def model_card(policy: Policy, facts: Mapping[str, Any]) -> str:
    """Markdown; `facts` become a list, with mappings inside indented."""
    schema = policy.schema
    sizes = ", ".join(f"{name} {vocab.size}{' (opaque ids)' if vocab.is_open else ''}"
                      for name, vocab in schema.vocabularies.items())
    return _TEMPLATE.format(
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
