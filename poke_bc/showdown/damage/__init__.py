"""Damage estimates, vectorised over all decisions of a battle: the derived fields of the singles schema.

    estimate  the formula       tables   static facts as arrays         fields   fields of observations as arrays
    pairs     who hits whom     pokemon  attackers and defenders        effects  factors of items, abilities, weather
    moves     rules of moves    rules    other effects of moves and abilities
"""
