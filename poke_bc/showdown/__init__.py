"""Everything about Showdown's battles: protocol -> state, observation, legal actions, labels.

    record      a battle as it comes in             protocol     fields of a line
    state       Pokémon and sides                   battle       state of a battle
    lines       what each line does to it           tracker      follows a battle line by line
    decision    a choice and its label
    log_reader  first pass: decisions, labels       arrivals     first pass: who comes in
    illusion    first pass: Illusions that never end
    request_lines  where a player was asked         brought      who of a previewed team fights
    choices     `|choice|` lines                    power        Z-Moves and Max Moves
    seen        what a battle showed of a team      first_pass   all that the first pass finds
    silence     first pass: what never showed       tells        what shows itself, and when
    attack      silence about a move                exclusion    what a Pokémon was not brought with
    corpus      sets that all battles showed        impute       own sets where no request tells them
    team        own sets from requests              consulted    what a conversion asked of the corpus
    own_pokemon what a player knows of one          legal        the ten actions
    requests    recorded requests and choices       labels       the label of a decision
    observe     the singles observation             observed_teams  its fields of each Pokémon
    damage      its derived estimates               convert      one battle record -> trajectories
"""
