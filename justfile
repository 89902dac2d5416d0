# Every recipe first sets up a virtual environment in .venv with the versions pinned in constraints.txt.

set shell := ["bash", "-euo", "pipefail", "-c"]

python := env("PYTHON", "python3")
bin := ".venv/bin"
sample := "data/sample/battles.jsonl.zst"

# list the recipes
default:
    @just --list

# make .venv, or bring it up to date with pyproject.toml and constraints.txt
setup:
    #!/usr/bin/env bash
    set -euo pipefail
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    if [ -x {{bin}}/poke-bc ] && [ "$(cat .venv/.made-from 2>/dev/null)" = "$wanted" ]; then exit 0; fi
    [ -x {{bin}}/python ] || {{python}} -m venv .venv
    {{bin}}/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
    echo "$wanted" > .venv/.made-from

# from battles to an evaluated policy, on the sample data: about a minute on two cores
demo: setup
    rm -rf data/demo data/demo.jsonl.zst runs/demo
    {{bin}}/poke-bc convert {{sample}} -o data/demo.jsonl.zst --keep-names
    {{bin}}/poke-bc preprocess data/demo.jsonl.zst --out data/demo
    {{bin}}/poke-bc split data/demo --val-ratio 0.2
    {{bin}}/poke-bc train --shards data/demo --run runs/demo --config data/sample/train.toml
    {{bin}}/poke-bc evaluate runs/demo
    {{bin}}/poke-bc report runs/demo -o runs/demo/report.html

# all tests except soak tests and benchmarks; arguments go to pytest
test *arguments: setup
    OMP_NUM_THREADS=1 {{bin}}/pytest -n 2 -m 'not soak' {{arguments}}

# the long tests, one after the other: faults at every call and at random times, much mutated input
soak *arguments: setup
    OMP_NUM_THREADS=1 {{bin}}/pytest -m soak {{arguments}}

# install the npm package pokemon-showdown in ./node_modules, where `poke-bc play` looks for it
showdown-setup:
    [ -d node_modules/pokemon-showdown ] || npm install --prefix . --no-save --no-package-lock --omit=optional --no-audit --no-fund pokemon-showdown@0.11.11

# Showdown's real server on this machine alone, without passwords, until Ctrl-C
showdown port="8000": setup showdown-setup
    {{bin}}/python -m poke_bc.play.local_server {{port}}

# style and types
lint: setup
    {{bin}}/ruff check .
    {{bin}}/mypy

# install the peers that `just bench` compares with
[private]
bench-setup: setup
    #!/usr/bin/env bash
    set -euo pipefail
    if cmp -s .venv/.made-from .venv/.bench-made-from; then exit 0; fi
    {{bin}}/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
    # requires older numpy and xxhash than it needs; see the bench group in pyproject.toml
    {{bin}}/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps mosaicml-streaming
    cp .venv/.made-from .venv/.bench-made-from

# ratios against real peers, interleaved in one run, on an otherwise idle machine; all groups or those named; --help
bench *arguments: bench-setup
    {{bin}}/python -m tests.bench {{arguments}}

# train and judge again what docs/experiments.md reports: formats, random-battles, spectator or gen9ou; --help
reproduce *arguments: setup
    {{bin}}/python -m tests.bench.reproduce {{arguments}}

# the same, then write docs/benchmarks.md and docs/scale.md from the measurements
bench-docs *groups: bench-setup
    {{bin}}/python -m tests.bench --docs {{groups}}

# generate docs/schema.md, docs/cli.md and docs/settings.md from the code
docs: setup
    {{bin}}/python docs/generate.py
