"""Damage estimates, vectorised over all decisions of a battle: the derived fields of the singles schema.

    estimate  the formula       tables   static facts as arrays      pokemon  attackers and defenders of a row
    pairs     who hits whom     moves    power that a rule decides   rules    what items, abilities, weather do
"""
