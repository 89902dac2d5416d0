// Showdown's simulator over stdin and stdout: many battles side by side, one JSON object a line.
//
//     node simulator.js node_modules/pokemon-showdown
//
//     in    {"battle": 1, "start": {"formatid", "seed", "p1": {"name", "seed" or "team"}, "p2": {...}}}
//           {"battle": 1, "choose": {"p1": "move 1", "p2": "switch 3"}}
//           {"battle": 1, "drop": true}
//           {"teams": "gen9ou", "text": "..."}              teams as Showdown exports them, packed teams, or JSON
//     out   {"version": "0.11.11"}                          once, when it is ready
//           {"battle": 1, "messages": [["update", "line\nline"], ["sideupdate", "p1\n|request|{}"], ["end", "{}"]]}
//           {"battle": 1, "error": "..."}                   the battle is over; all others go on
//           {"teams": [{"packed", "problems": [...]}]} or {"teams": null, "error": "..."}
//
// Whatever is in a name, a team or a choice stays what it is: nothing is ever run as a command.
'use strict';
const path = require('path');
const root = path.resolve(process.argv[2]);
const {version} = require(path.join(root, 'package.json'));
const {Battle, Dex, Teams, TeamValidator} = require(path.join(root, 'dist', 'sim'));

const battles = new Map();
const say = value => process.stdout.write(JSON.stringify(value) + '\n');

function begin(id, {formatid, seed, ...players}) {
  if (!Dex.formats.get(formatid).exists) throw new Error(`there is no format ${formatid}`);
  const entry = {messages: [], battle: null};
  battles.set(id, entry);
  entry.battle = new Battle({formatid, seed, strictChoices: false, send: (kind, data) => {
    if (Array.isArray(data)) data = data.join('\n');
    if (kind === 'end') {
      const {winner, turns} = JSON.parse(data);
      data = JSON.stringify({winner, turns});
    }
    entry.messages.push([kind, data]);
  }});
  for (const player of ['p1', 'p2']) entry.battle.setPlayer(player, players[player]);
  return entry;
}

function handle({battle: id, start, choose, drop}) {
  if (drop) return void battles.delete(id);
  try {
    const entry = start ? begin(id, start) : battles.get(id);
    if (!entry) throw new Error('there is no such battle');
    for (const [player, choice] of Object.entries(choose || {})) entry.battle.choose(player, choice);
    entry.battle.sendUpdates();
    const messages = entry.messages.splice(0);
    if (entry.battle.ended) battles.delete(id);
    if (messages.length) say({battle: id, messages});
  } catch (error) {
    battles.delete(id);
    say({battle: id, error: String(error).slice(0, 500)});
  }
}

function readTeams(format, text) {
  const blocks = text.split(/^===.*===[ \t]*$/m).filter(block => block.trim());
  const validator = TeamValidator.get(format);
  return blocks.map(block => {
    const team = Teams.import(block.trim(), true);
    if (!team || !team.length) return {packed: '', problems: ['no team can be read']};
    return {packed: Teams.pack(team), problems: validator.validateTeam(team) || []};
  });
}

require('readline').createInterface({input: process.stdin}).on('line', line => {
  const message = JSON.parse(line);
  if (message.teams === undefined) return handle(message);
  try {
    say({teams: readTeams(message.teams, message.text)});
  } catch (error) {
    say({teams: null, error: String(error).slice(0, 500)});
  }
}).on('close', () => process.exit(0));
say({version});
