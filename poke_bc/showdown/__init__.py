"""The one place that knows Showdown's battles: protocol -> state, observation, legal actions, labels.

    protocol   words of a line                  state, battle   the tracker: both sides as the lines tell
    story      first pass: decisions, labels    corpus, team    own sets: from requests, or revealed and filled
    legal      the ten actions                  requests        recorded requests and choices: exact
    observe    the singles observation          damage          its derived estimates
    convert    one battle record -> trajectories
"""
