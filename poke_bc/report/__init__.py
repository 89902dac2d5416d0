"""report: one HTML page about runs that needs no network: figures, data, and a browser of battles.

    build.py         the order of things
    judged.py        what is read of each run, and how it does on its split
    data_card.py     what the runs were trained on
    settings.py      their settings, and where these differ
    moments.py       where a policy and people differ most
    battles.py       which battles the page holds, and their rows as bytes
    names.py         how ids are spelt, and facts of moves
    page.py          everything -> one file
    page/            HTML, CSS and JavaScript; bytes.js reads what battles.py writes
"""

from poke_bc.report.build import Report, report

__all__ = ["Report", "report"]
