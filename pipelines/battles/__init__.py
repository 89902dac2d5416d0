"""Battles in: from files of any shape to records, and these in blocks over processes.

    files.py        which files, and battles cut off from them   pieces.py   one battle's bytes, by shape
    records.py      a piece -> a battle record                   clean_log.py  lines that say something
    asked.py        requests and choices in a bot's log          names.py    user names -> salted hashes
    blocks.py       what is done with some battles               folder.py   finished blocks of an interrupted run
"""
