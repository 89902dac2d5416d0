"""The one place that knows Showdown's battles: protocol -> state, observation, legal actions, labels.

    record     a battle as it comes in         protocol        words of a line
    state      Pokémon and sides               battle, lines   the tracker: what each line does to them
    story      first pass: decisions, labels   decision, choices, power   what a choice is; |choice| lines; Z and Max
    corpus     sets that battles showed        team            own sets: from requests, or revealed and filled
    legal      the ten actions                 requests        recorded requests and choices: exact
    observe    the singles observation         damage          its derived estimates
    convert    one battle record -> trajectories
"""
