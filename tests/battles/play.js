// Plays scenarios in Showdown's simulator and writes one battle a line:
//
//     npm install pokemon-showdown@0.11.11 --omit=optional
//     SHOWDOWN=node_modules/pokemon-showdown node play.js scenarios/*.json > scripted.jsonl
//
// A scenario is {format, seed, p1, p2, choices}. p1 and p2 are teams: what a set leaves out is level 100, 84 EVs in each
// stat, 31 IVs, no item. choices has one entry a request, such as {"p1": "move surf", "p2": "switch Ditto"}; a player
// without a request is left out, and {"forfeit": "p1"} ends the battle. A list of choices: the simulator must refuse all
// but the last. After the last entry the battle breaks off.
const fs = require('fs');
const path = require('path');
if (!process.env.SHOWDOWN) {
  console.error('set SHOWDOWN to the folder of the npm package pokemon-showdown');
  process.exit(2);
}
const sim = path.resolve(process.env.SHOWDOWN, 'dist/sim');
const {Battle, extractChannelMessages} = require(path.join(sim, 'battle'));
const {Teams} = require(path.join(sim, 'teams'));

const STATS = ['hp', 'atk', 'def', 'spa', 'spd', 'spe'];
const each = value => Object.fromEntries(STATS.map(stat => [stat, value]));
const whole = (set, gen) => ({
  name: '', item: '', ability: gen < 3 ? 'No Ability' : '', nature: gen < 3 ? '' : 'Serious', gender: '', level: 100,
  evs: each(gen < 3 ? 252 : 84), ivs: each(31), ...set,
});

function play(id, scenario) {
  const gen = +scenario.format[3];
  const battle = new Battle({formatid: scenario.format, seed: scenario.seed || [1, 2, 3, 4], strictChoices: false});
  for (const [player, name] of [['p1', 'Alpha'], ['p2', 'Beta']]) {
    for (const set of scenario[player]) {
      const {species, moves, abilities, items} = battle.dex;
      const named = [species.get(set.species), ...set.moves.map(move => moves.get(move))];
      if (set.ability) named.push(abilities.get(set.ability));
      if (set.item) named.push(items.get(set.item));
      const unknown = named.find(thing => !thing.exists);
      if (unknown) throw new Error(`${id}: no such thing: ${unknown.name}`);
    }
    battle.setPlayer(player, {name, team: Teams.pack(scenario[player].map(set => whole(set, gen)))});
  }
  const spectator = () => extractChannelMessages(battle.log.join('\n'), [0])[0].filter(line => !line.startsWith('|t:|'));
  const requests = {p1: [], p2: []};
  const isOpen = side => side.activeRequest && !side.activeRequest.wait && !side.isChoiceDone();
  const note = (side, after_line, choice, more = {}) =>
    requests[side.id].push({after_line, request: JSON.parse(JSON.stringify(side.activeRequest)), choice, ...more});
  const unanswered = () => battle.sides.filter(isOpen).forEach(side => note(side, spectator().length, null));
  scenario.choices.forEach((step, number) => {
    const where = `${id}, step ${number + 1}`;
    if (battle.ended) throw new Error(`${where}: the battle is over`);
    if (step.forfeit) {
      unanswered();
      battle.add('-message', `${battle[step.forfeit].name} forfeited.`);
      battle.lose(step.forfeit);
      return;
    }
    const after_line = spectator().length;
    for (const player of ['p1', 'p2']) {
      const side = battle[player];
      const open = Boolean(isOpen(side));
      if (open !== (player in step)) throw new Error(`${where}: ${player} has ${open ? 'a' : 'no'} request`);
      if (!open) continue;
      const choices = [step[player]].flat();
      choices.forEach((choice, at) => {
        const refused = at < choices.length - 1;
        note(side, after_line, choice, refused ? {rejected: true} : {});
        const taken = side.choose(choice);
        if (taken === refused) throw new Error(`${where}, ${player} ${choice}: ${taken ? 'taken' : side.choice.error}`);
      });
    }
    battle.commitChoices();
  });
  if (!battle.ended) unanswered();
  return {id, formatid: scenario.format, spectator: spectator(), ...requests};
}

for (const file of process.argv.slice(2)) {
  const scenario = JSON.parse(fs.readFileSync(file, 'utf8'));
  const id = `${scenario.format}-${path.basename(file, '.json')}`;
  process.stdout.write(JSON.stringify(play(id, scenario)) + '\n');
}
