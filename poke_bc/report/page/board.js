// The board as one player saw it. Pokémon are tokens drawn here: the colours of their types, and their initials.

const UNKNOWN = 0, NONE = 1;
const TYPES = { normal: "#8f928f", fire: "#e5533d", water: "#3b86e8", electric: "#d9a400", grass: "#3d9b35", ice: "#35b4cf",
  fighting: "#d9731a", poison: "#9141cb", ground: "#a0622d", flying: "#6f9fe0", psychic: "#e84a7f", bug: "#84951c", rock: "#a1965e",
  ghost: "#70508f", dragon: "#5060e1", dark: "#5d4c4c", steel: "#5892a8", fairy: "#dd63d6", stellar: "#3aa896", bird: "#7f9fb0" };
const STATUS = { brn: ["burn", "#d9531e"], frz: ["freeze", "#2fa5c4"], par: ["paralysis", "#b58900"], psn: ["poison", "#9141cb"],
  tox: ["toxic", "#7a2fa8"], slp: ["sleep", "#6b7280"] };
const BOOSTS = ["Atk", "Def", "SpA", "SpD", "Spe", "Acc", "Eva"];
const HAZARDS = [["stealth_rock", "Stealth Rock"], ["spikes", "Spikes"], ["toxic_spikes", "Toxic Spikes"], ["sticky_web", "Sticky Web"]];
const LASTING = [["reflect", "Reflect"], ["light_screen", "Light Screen"], ["aurora_veil", "Aurora Veil"], ["tailwind", "Tailwind"],
  ["safeguard", "Safeguard"], ["mist", "Mist"], ["wish", "Wish"], ["future_sight", "Future Sight"]];
const ROOMS = [["trick_room", "Trick Room"], ["magic_room", "Magic Room"], ["wonder_room", "Wonder Room"], ["gravity", "Gravity"]];
const PHASES = { preview: "team preview", turn: "", forced_faint: "replaces a fainted Pokémon", forced_pivot: "switches after a move",
  revival: "revives a Pokémon" };

// Name of an id of a vocabulary; "?" where it is not known, null for none.
function nameOf(content, vocab, id) {
  if (!content.schema.named.includes(vocab)) return String(id);
  return id === UNKNOWN ? "?" : id === NONE ? null : content.names[vocab][id] || `#${id}`;
}

const typeColour = type => TYPES[(type || "").toLowerCase()] || "var(--muted)";
const typeChip = type => el("span", { class: "type", style: { "--type": typeColour(type) } }, type);

function team(rows, side, step) {
  const get = name => rows.get(`${side}_${name}`, step), { content } = rows;
  const named = (vocab, list) => list.map(id => nameOf(content, vocab, id));
  const [species, levels, hps, active, fainted, seen] = ["species", "level", "hp", "active", "fainted", "seen"].map(get);
  const statuses = named("status", get("status")), items = named("item", get("item")), lost = named("item", get("last_item"));
  const abilities = named("ability", get("ability")), teras = named("type", get("tera"));
  const [first, second] = ["type1", "type2"].map(name => named("type", get(name)));
  const moves = named("move", get("moves")), home = get("left_home"), tera = get("terastallized"), shown = get("moves_shown");
  return species.map((id, slot) => ({
    side, slot, id, hidden: id === UNKNOWN, empty: id === NONE, name: nameOf(content, "species", id), level: levels[slot], hp: hps[slot],
    active: active[slot], fainted: known(fainted[slot]) ? fainted[slot] : hps[slot] === 0, seen: seen[slot],
    status: statuses[slot], item: items[slot], lost: lost[slot], ability: abilities[slot], tera: teras[slot], terastallized: tera[slot],
    types: [first[slot], second[slot]].filter(type => type && type !== "?"), moves: moves.slice(4 * slot, 4 * slot + 4),
    moveIds: get("moves").slice(4 * slot, 4 * slot + 4), shown: shown.slice(4 * slot, 4 * slot + 4), home: home[slot],
  }));
}

function initials(name) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  return (words.length > 1 ? words[0][0] + words[1][0] : name.slice(0, 2)).toUpperCase().slice(0, 2);
}

function token(mon, big) {
  const [one, two] = mon.hidden ? [] : mon.types;
  return el("span", { class: `token${big ? " big" : ""}${mon.hidden ? " hidden" : ""}${mon.fainted ? " out" : ""}`, "aria-hidden": "true",
    style: mon.hidden ? null : { "--one": typeColour(one), "--two": typeColour(two || one) } }, mon.hidden ? "?" : initials(mon.name));
}

function health(mon) {
  const share = Math.max(0, Math.min(1, mon.hp));
  const level = share > 0.5 ? "high" : share > 0.2 ? "middle" : "low";
  return el("span", { class: "health" }, el("span", { class: "track" }, el("i", { class: level, style: { width: `${100 * share}%` } })),
    el("b", null, mon.fainted ? "fainted" : percent(share, 0)));
}

function status(mon) {
  if (!mon.status || mon.status === "?" || mon.fainted) return null;
  const [name, shade] = STATUS[mon.status.toLowerCase()] || [mon.status, "var(--muted)"];
  return el("span", { class: "status", style: { "--status": shade } }, name);
}

const hiddenText = () => el("span", { class: "unknown" }, "hidden");
const valueOf = name => name === "?" ? hiddenText() : name === null ? "none" : name;

function details(rows, mon, withMoves = true) {
  const facts = [];
  if (rows.has("own_ability") && mon.ability !== null) facts.push(["ability", valueOf(mon.ability)]);
  if (rows.has("own_item")) facts.push(["item", [valueOf(mon.item), mon.lost && mon.lost !== "?" && mon.item === null && ` (was ${mon.lost})`]]);
  if (mon.tera) facts.push(["tera", mon.tera === "?" ? hiddenText() : [typeChip(mon.tera), mon.terastallized && " active"]]);
  if (withMoves && mon.moves.some(move => move !== null)) {
    facts.push(["moves", el("span", { class: "moves" }, mon.moves.filter(move => move !== null).map((move, place) =>
      el("span", { class: move === "?" ? "unknown" : mon.shown[place] === false ? "secret" : null,
        title: mon.shown[place] === false ? "the opponent has not seen it" : null }, move === "?" ? "?" : move)))]);
  }
  return el("dl", { class: "details" }, facts.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

function volatiles(rows, side, step) {
  const names = (rows.fields.get(`${side}_volatiles`) || { doc: "" }).doc.split(",").map(name => name.trim());
  return rows.get(`${side}_volatiles`, step).map((set, place) => set ? names[place] : null).filter(Boolean);
}

function activeCard(rows, mon, side, step) {
  const boosts = rows.get(`${side}_boosts`, step).map((value, place) => [BOOSTS[place], value]).filter(([, value]) => value);
  return el("div", { class: `active ${side}` }, token(mon, true),
    el("div", { class: "body" },
      el("div", { class: "line" }, el("strong", null, mon.name), mon.level > 0 && el("small", null, `Lv ${mon.level}`), mon.types.map(typeChip), status(mon)),
      health(mon),
      el("div", { class: "line badges" }, boosts.map(([name, value]) => el("span", { class: value > 0 ? "badge up" : "badge down" },
        `${name} ${value > 0 ? "+" : "−"}${Math.abs(value)}`)), volatiles(rows, side, step).map(name => el("span", { class: "badge" }, name))),
      details(rows, mon, side === "opp"))); // the own ones are among the actions
}

const openBench = new Set(); // "own3": what is unfolded stays unfolded from step to step

function benchCard(rows, mon) {
  const key = mon.side + mon.slot;
  if (mon.hidden) {
    return el("div", { class: "mon" }, el("div", { class: "head" }, token(mon), el("span", { class: "who" }, el("span", { class: "unknown" }, "not seen yet"))));
  }
  return el("details", { class: "mon", open: openBench.has(key), ontoggle: event => openBench[event.target.open ? "add" : "delete"](key) },
    el("summary", { class: "head" }, token(mon), el("span", { class: "who" }, el("span", null, mon.name, mon.home && " (left at home)"), health(mon)), status(mon)),
    details(rows, mon));
}

function conditions(rows, side, step) {
  const value = name => rows.first(`${side}_${name}`, step);
  return [...HAZARDS, ...LASTING].filter(([name]) => value(name)).map(([name, title]) =>
    el("span", { class: HAZARDS.some(([hazard]) => hazard === name) ? "badge down" : "badge" },
      title, typeof value(name) === "number" && value(name) > 1 && ` ×${value(name)}`));
}

function sideCard(rows, side, step, title, players) {
  const mons = team(rows, side, step).filter(mon => !mon.empty);
  const alive = rows.first(`${side}_alive`, step);
  const active = mons.find(mon => mon.active && !mon.hidden);
  return el("div", { class: `side ${side}` },
    el("div", { class: "line title" }, el("h4", null, title), players && el("span", { class: "player" }, players),
      known(alive) && el("small", null, `${alive} left`), conditions(rows, side, step)),
    active ? activeCard(rows, active, side, step) : el("p", { class: "note" }, "Nobody is on the field."),
    el("div", { class: "bench" }, mons.filter(mon => mon !== active).map(mon => benchCard(rows, mon))));
}

function fieldLine(rows, step) {
  const { content } = rows;
  const lasting = (vocab, name) => {
    const found = rows.has(name) ? nameOf(content, vocab, rows.first(name, step)) : null;
    return found && found !== "?" ? el("span", { class: "badge" }, found) : null;
  };
  const phase = rows.has("phase") ? nameOf(content, "phase", rows.first("phase", step)) : null;
  return el("div", { class: "line field" }, rows.has("turn") && el("strong", null, `Turn ${rows.first("turn", step)}`),
    phase && phase !== "?" && PHASES[phase] !== "" && el("span", null, PHASES[phase] || phase), lasting("weather", "weather"), lasting("terrain", "terrain"),
    ROOMS.filter(([name]) => rows.first(name, step)).map(([, title]) => el("span", { class: "badge" }, title)));
}

function board(rows, step, view, other) {
  const rated = (name, rating) => [name, rating ? ` (${whole(Math.round(rating))})` : ""].join("");
  return el("div", { class: "board" }, fieldLine(rows, step),
    sideCard(rows, "opp", step, "Opponent", rated(other ? other.player_id || other.player : "", view.opponent_rating).trim()),
    sideCard(rows, "own", step, "This player", rated(view.player_id || view.player, view.rating)));
}

// All fields of a decision, by name: for schemas without a board, and for the curious.
function rawFields(rows, step) {
  const { content } = rows;
  const shown = (field, value) => field.kind === "category" ? nameOf(content, field.vocab, value) || "none"
    : typeof value === "boolean" ? (value ? "yes" : "–") : String(Math.round(value * 1e4) / 1e4);
  return table(["field", "values"], content.schema.fields.map(field =>
    [el("span", { title: field.doc || null }, field.name), rows.get(field.name, step).map(value => shown(field, value)).join(" · ")]), { class: "raw" });
}
