"""The leak check: do a player's own move slots reveal which moves are used later?

A replay shows only the moves that were used; convert fills the other slots. If filled-in moves can be distinguished
from real ones, a policy learns hindsight: it scores well on such data and fails in play, where all four moves are
known. The check uses simple rules and a network that sees only the four slots: they must do no better than on the same
battles converted with the players' requests, where nothing is filled in.
"""

from poke_bc.leaks.check import LeakReport, check_leaks, render

__all__ = ["LeakReport", "check_leaks", "render"]
