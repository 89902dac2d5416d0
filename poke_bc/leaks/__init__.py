"""The leak check: do the own move slots reveal which moves are used later?

A replay shows only the moves that were used; convert fills the other own slots. If the filled-in moves can be told
from the real ones, a policy learns hindsight: it looks brilliant on such data and fails in play, where all four moves
are known. Simple rules, and a network that sees only the four slots, put this to the test: they must do no better than
on the same battles converted with the players' requests, where nothing is filled in.
"""

from poke_bc.leaks.check import LeakReport, check_leaks, render

__all__ = ["LeakReport", "check_leaks", "render"]
