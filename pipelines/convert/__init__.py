"""convert: Showdown battles in any form -> trajectories.

    battle_files.py        files of any form -> raw battles          raw_battles.py   one battle's bytes, by form
    records.py             a raw battle -> a battle record           clean_log.py     the lines about the battle
    server_log.py          what a server's own log adds
    recorded_requests.py   requests and choices in a player's log    pseudonyms.py    user names -> salted hashes
    copies.py              records of one battle                     kept.py          between the passes
    passes.py              both passes over a task                   trajectories.py  a chosen battle -> lines
    earlier.py             what the next run takes over             summary.py      counts of a run
    convert_job.py         the job: two passes, one output
"""

from pipelines.convert.convert_job import convert_battles
from pipelines.convert.summary import ConvertSummary

__all__ = ["ConvertSummary", "convert_battles"]
