// Print Showdown's Dex of all nine generations as one JSON object, for make_dex.py.
// Run as: node dump_dex.js FOLDER (the installed npm package pokemon-showdown).
'use strict';
const {Dex, toID} = require(require('path').resolve(process.argv[2]));
const GENS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const STATS = ['hp', 'atk', 'def', 'spa', 'spd', 'spe'];
const type = name => toID(name) || 'typeless'; // '???'
const fraction = pair => pair ? pair[0] / pair[1] : 0;

// A record is a list of the values of the struct of the same name (poke_bc/dex/records.py), without `name`.
function species(it, gen) {
  return [
    toID(it.baseSpecies), it.types.map(type), STATS.map(stat => it.baseStats[stat]), it.weightkg,
    gen < 3 ? [] : [...new Set(Object.values(it.abilities).map(toID))].filter(Boolean), it.nfe,
  ];
}

function move(it, gen) {
  const hits = Array.isArray(it.multihit) ? it.multihit : [it.multihit || 1, it.multihit || 1];
  const ups = it.noPPBoosts ? 0 : 3;
  return [
    type(it.type), it.category.toLowerCase(), it.basePower, it.accuracy === true ? 1 : it.accuracy / 100,
    it.priority, it.pp * (5 + ups) / 5 - (gen <= 2 && it.pp === 40 ? ups : 0), Object.keys(it.flags).sort(), hits,
    typeof it.damage === 'number' ? it.damage : 0, it.damage === 'level', Boolean(it.ohko), fraction(it.recoil),
    Boolean(it.secondaries), it.overrideOffensiveStat || '', it.overrideOffensivePokemon === 'target',
    it.overrideDefensiveStat || '', Boolean(it.ignoreDefensive), it.ignoreImmunity === undefined ?
      it.category === 'Status' : Boolean(it.ignoreImmunity), Boolean(it.ignoreAbility),
    (it.maxMove && it.maxMove.basePower) || 0,
  ];
}

function item(it) {
  return [
    it.gen, Boolean(it.isChoice), Boolean(it.isGem), toID(it.onPlate), toID(it.onMemory), toID(it.onDrive),
    Object.keys(it.megaStone || {}).map(toID), toID(it.zMoveType), toID(it.zMove === true ? '' : it.zMove),
    toID(it.zMoveFrom),
  ];
}

function generation(gen) {
  const dex = Dex.forGen(gen);
  const mine = table => table.all().filter(it => it.gen <= gen && it.isNonstandard !== 'Future');
  const types = dex.types.all().filter(it => it.isNonstandard !== 'Future').map(it => it.name);
  const factor = [1, 2, 0.5, 0];
  return {
    species: Object.fromEntries(mine(dex.species).map(it => [it.id, species(it, gen)])),
    cosmetic: Object.fromEntries(mine(dex.species).flatMap(it => (it.cosmeticFormes || [])
      .map(name => dex.species.get(name)).filter(forme => forme.gen <= gen).map(forme => [forme.id, it.id]))),
    moves: Object.fromEntries(mine(dex.moves).map(it => [toID(it.name), move(it, gen)])), // Hidden Power's id is one
    chart: Object.fromEntries(types.map(attack => [type(attack), Object.fromEntries(types.map(defend =>
      [type(defend), factor[dex.types.get(defend).damageTaken[attack] || 0]]).filter(([, by]) => by !== 1))])),
  };
}

// Own learnset of a species: move -> the first generation in which it can be learned.
function learnsets() {
  const own = {}, chain = {};
  for (const gen of GENS) {
    const dex = Dex.forGen(gen);
    for (const id of Object.keys(dex.data.Learnsets)) {
      const moves = own[id] = own[id] || {};
      for (const [name, sources] of Object.entries(dex.species.getLearnsetData(id).learnset || {})) {
        moves[name] = Math.min(moves[name] || 9, ...sources.map(source => parseInt(source[0])));
      }
    }
  }
  for (const it of Dex.species.all()) {
    try {
      chain[it.id] = Dex.species.getFullLearnset(it.id).map(data => data.species.id);
    } catch {
      chain[it.id] = []; // a few made-up species have no learnset
    }
  }
  return {own, chain};
}

// How ids are spelt, where that is not the id with a capital letter.
function spellings() {
  const kinds = {
    species: Dex.species.all().flatMap(it => [it.name, ...(it.cosmeticFormes || []), ...(it.formeOrder || [])]),
    move: Dex.moves.all().map(it => it.name), item: Dex.items.all().map(it => it.name),
    ability: Dex.abilities.all().map(it => it.name),
  };
  const plain = id => id.charAt(0).toUpperCase() + id.slice(1);
  return Object.fromEntries(Object.entries(kinds).map(([kind, names]) => [kind, Object.fromEntries(names
    .map(name => [toID(name), name]).filter(([id, name]) => id && name !== plain(id)))]));
}

console.log(JSON.stringify({
  version: require(require('path').resolve(process.argv[2], 'package.json')).version,
  gens: Object.fromEntries(GENS.map(gen => [gen, generation(gen)])),
  items: Object.fromEntries(Dex.items.all().map(it => [it.id, item(it)])),
  learnsets: learnsets(),
  spellings: spellings(),
  past: Object.fromEntries(GENS.map(gen => [gen, Dex.forGen(gen).moves.all().filter(it => it.gen <= gen &&
    it.isNonstandard === 'Past').map(it => toID(it.name))])),
  vocabulary: {
    species: Dex.species.all().flatMap(it => [it.id, ...(it.cosmeticFormes || []).map(toID), ...(it.formeOrder || [])
      .map(toID)]),
    moves: Dex.moves.all().map(it => toID(it.name)),
    items: Dex.items.all().map(it => it.id),
    abilities: Dex.abilities.all().map(it => it.id),
    types: Dex.types.all().map(it => it.id),
    formats: Dex.formats.all().filter(it => it.gameType === 'singles').map(it => it.id.replace(/^gen\d/, '')),
  },
}));
