"""The page: a template, its style and scripts, the plotting library and the content, in one file.

Data never become HTML: they are compressed JSON in base64, which the scripts turn into text nodes. A Content Security
Policy lets the page run its own scripts only, named by their digests, and reach nothing outside itself.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from poke_bc.contract.errors import UsageError

LIMIT = 6_000_000
"""Maximum size of a page in bytes."""
BEGINNING = b"<!doctype html>\n<!-- report of poke-bc -->\n"
SCRIPTS = ("dom", "bytes", "charts", "figures", "data", "board", "moves", "browser", "main")
"""In the order in which they need each other."""


def plotting_library() -> str:
    """The JavaScript of Plotly, as its Python package carries it. Raises UsageError without the package."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UsageError("the report draws its charts with Plotly, which is not installed",
                         hint="pip install 'poke-bc[report]'") from None
    library: str = get_plotlyjs()
    return library


def render_page(content: Mapping[str, Any], streams: Sequence[str], plotly: str) -> bytes:
    """The page with `content` (JSON), the rows of its battles, and the plotting library."""
    script = _script()
    digests = " ".join(f"'sha256-{_sha256(text)}'" for text in (script, plotly))
    names = ", ".join(run["name"] for run in content["runs"])
    filled = {
        "policy": f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; "
                  f"style-src 'unsafe-inline'; script-src {digests}",
        "title": escape(f"{names} · poke-bc"), "style": _read("report.css"), "script": script,
        "content": _packed(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))),
        "plotly": _packed_library(plotly), "streams": "\n".join(streams),
    }
    page = _read("report.html")
    for name, text in filled.items():  # each stands once; what was filled in is not looked at again
        before, mark, after = page.partition(f"<!--{name}-->")
        assert mark, name
        page = before + text + after
    return BEGINNING + page.encode(errors="backslashreplace")


def _script() -> str:
    bodies = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{bodies}}})();\n'


@cache
def _read(name: str) -> str:
    return resources.files("poke_bc.report").joinpath("page", name).read_text("utf-8")


@cache
def _packed_library(plotly: str) -> str:
    return _packed(plotly)


def _packed(text: str) -> str:
    """UTF-8, gzip without a time, base64."""
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), 9, mtime=0)).decode()


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
