"""inspect: what shards or a run contain, and what is unusual about them, in plain words.

The remarks matter most: fields that never vary, labels that do not say which move was used, missing masks.

    report.py      the result, and its tables
    fields.py      the values of each field
    data_set.py    shards
    run.py         a run
"""

from poke_bc.inspect.data_set import inspect_shards
from poke_bc.inspect.report import Inspection, render
from poke_bc.inspect.run import inspect_run

__all__ = ["Inspection", "inspect_run", "inspect_shards", "render"]
