// The ten actions of a decision: names, probabilities, and what the human chose.

const percentOf = share => share >= 0.9995 || share < 0.0005 && share > 0 ? (share > 0.5 ? "100%" : "<0.1%") : percent(share);

// What an action means at a decision: its name, and what else is known of it.
function meaning(rows, step, action) {
  const { content } = rows;
  const fallback = { name: capital(content.actions[action]), kind: action < 4 ? "move" : "switch" };
  if (!content.schema.has_board) return fallback;
  const own = team(rows, "own", step);
  if (action >= 4) {
    const mon = own[action - 4];
    return mon.empty ? { ...fallback, name: "no Pokémon", empty: true } : { name: mon.name, kind: "switch", mon };
  }
  const active = own.find(mon => mon.active);
  const name = active && active.moves[action];
  if (!name) return { ...fallback, name: "no move", empty: true };
  const facts = (content.moves[rows.gen] || {})[active.moveIds[action]];
  return { name, kind: "move", facts, damage: rows.get("own_move_damage", step)[action], ko: rows.get("own_move_ko", step)[action] };
}

function actionLabel(rows, step, action) {
  const { name, kind } = meaning(rows, step, action);
  return kind === "switch" && rows.content.schema.has_board ? `switch to ${name}` : name;
}

function moveFacts({ facts, damage, ko }) {
  if (!facts) return null;
  const [type, category, power] = facts;
  return [typeChip(capital(type)), el("small", null, [category, power ? `${power} power` : null,
    known(damage) && category !== "status" ? `${percent(damage, 0)} damage${ko ? ", KO" : ""}` : null].filter(Boolean).join(" · "))];
}

function activation(rows, run, step, action) {
  const probs = action < 4 ? rows.gimmickProbs(run, step, action) : null;
  if (!probs) return null;
  const [best] = [1, 2, 3, 4].sort((one, two) => probs[two] - probs[one]);
  return probs[best] >= 0.005 ? `${capital(rows.content.gimmicks[best])} ${percent(probs[best], 0)}` : null;
}

function actionRow(rows, step, action, legal) {
  const { content } = rows, what = meaning(rows, step, action);
  const open = !legal || legal[action];
  const taken = rows.action(step) === action, may = rows.action(step) < 0 && rows.candidates(step)[action];
  const gimmick = taken ? rows.gimmick(step) : 0;
  const bars = rows.runs.map((_, run) => {
    const share = rows.probs(run, step)[action];
    const best = open && Math.max(...rows.probs(run, step)) === share;
    return el("div", { class: `prob${best ? " best" : ""}`, style: { "--run": runColour(content.together[run]) } },
      el("span", { class: "bar" }, el("i", { style: { width: `${100 * share}%` } })),
      el("span", { class: "figure" }, percentOf(share)));
  });
  const says = rows.runs.map((_, run) => `${content.runs[content.together[run]].name} ${percentOf(rows.probs(run, step)[action])}`).join(", ");
  const also = rows.runs.map((_, run) => activation(rows, run, step, action)).find(Boolean);
  return el("li", { class: `action ${what.kind}${open ? "" : " illegal"}${taken ? " taken" : ""}${what.empty ? " empty" : ""}`, "data-action": String(action),
    "aria-label": `${actionLabel(rows, step, action)}: ${open ? says : "not legal"}${taken ? ", the human's choice" : ""}` },
  el("div", { class: "what" }, what.kind === "switch" && what.mon ? token(what.mon) : null,
    el("span", { class: "label" }, what.name), what.kind === "switch" && what.mon ? health(what.mon) : moveFacts(what),
    also && open && el("span", { class: "badge" }, also),
    taken && el("span", { class: "human" }, "human", gimmick ? ` + ${capital(content.gimmicks[gimmick])}` : ""),
    may && el("span", { class: "human maybe" }, "possible")),
  open ? el("div", { class: "probs" }, bars) : el("span", { class: "closed" }, "not legal"));
}

function actionList(rows, step) {
  const legal = rows.legal(step);
  const group = (title, actions) => [el("h4", null, title), el("ol", { class: "actions" }, actions.map(action => actionRow(rows, step, action, legal)))];
  return el("div", { class: "choices" }, group("Moves", [0, 1, 2, 3]), group("Switches", [4, 5, 6, 7, 8, 9]), verdict(rows, step, legal));
}

function verdict(rows, step, legal) {
  const action = rows.action(step);
  if (legal && legal.filter(Boolean).length === 1) return note("There was no choice here.");
  if (action < 0) return note(rows.candidateBits(step) ? "The choice was not seen; it was one of those marked as possible." : "The choice is not known.");
  return note(rows.runs.map((_, run) => {
    const probs = rows.probs(run, step), best = probs.indexOf(Math.max(...probs));
    const name = rows.runs.length > 1 ? `${rows.content.runs[rows.content.together[run]].name}` : "The policy";
    return el("span", { class: "verdict" }, name + (best === action ? ` agrees with the human (${percentOf(probs[best])}).`
      : ` prefers: ${actionLabel(rows, step, best)} (${percentOf(probs[best])}); the human's choice had ${percentOf(probs[action])}.`), " ");
  }));
}

// How well the first run foresaw a decision: for the ribbon of a battle.
function agreement(rows, step) {
  const action = rows.action(step), legal = rows.legal(step);
  if (action < 0 || legal && legal.filter(Boolean).length === 1) return "free";
  const probs = rows.probs(0, step);
  const better = probs.filter((share, other) => share > probs[action] || share === probs[action] && other < action).length;
  return better === 0 ? "right" : better < 3 ? "near" : "wrong";
}
