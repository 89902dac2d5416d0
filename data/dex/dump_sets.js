// Print the sets of the teams that Showdown makes for a format with given teams, with how often each came up.
// Run as: node dump_sets.js FOLDER FORMAT TEAMS (FOLDER: the installed npm package pokemon-showdown).
'use strict';
const {Dex, Teams, toID} = require(require('path').resolve(process.argv[2]));
const [format, teams] = [process.argv[3], Number(process.argv[4])];
const dex = Dex.forFormat(format);
const sets = {};
const groups = {}; // a move alone, all mega stones, all Z-crystals -> its names, and on how many teams and Pokémon
const count = (table, key) => table[key] = (table[key] || 0) + 1;

function groupsOf(moves, item) {
  const found = moves.map(move => [move, move]);
  if (dex.items.get(item).megaStone) found.push(['a mega stone', item]);
  if (dex.items.get(item).zMove) found.push(['a Z-crystal', item]);
  return found;
}

for (let number = 0; number < teams; number++) {
  const onTeam = {};
  for (const set of Teams.getGenerator(format, `sodium,${number.toString(16).padStart(32, '0')}`).getTeam()) {
    const species = dex.species.get(set.species);
    const forme = species.isCosmeticForme ? toID(species.baseSpecies) : species.id;
    const moves = set.moves.map(move => toID(dex.moves.get(move).name)).sort(); // Hidden Power's id is one
    const item = toID(set.item) || 'none';
    count(sets[forme] = sets[forme] || {}, JSON.stringify([moves, item, dex.gen < 3 ? 'none' : toID(set.ability),
      dex.gen < 9 ? 'none' : toID(set.teraType)]));
    for (const [group, name] of groupsOf(moves, item)) {
      const known = groups[group] = groups[group] || {names: new Set(), teams: {}};
      known.names.add(name);
      count(onTeam, group);
    }
  }
  for (const [group, pokemon] of Object.entries(onTeam)) count(groups[group].teams, Math.min(pokemon, 2));
}
console.log(JSON.stringify({sets, groups: Object.values(groups).map(({names, teams}) =>
  ({names: [...names].sort(), once: teams[1] || 0, twice: teams[2] || 0}))}));
