// The battle browser: a battle, one player's view of it, a decision; the address carries all three.

const SORTS = {
  "highest rating": (one, two) => two.rating - one.rating, "most agreement": (one, two) => two.agreement - one.agreement,
  "least agreement": (one, two) => one.agreement - two.agreement, "most decisions": (one, two) => two.decisions - one.decisions,
};
const FEWEST_DROP = 0.05;

function browser(content) {
  const streams = document.getElementById("report-streams").textContent.split("\n");
  const opened = new Map(); // stream -> promise of its rows
  const now = { battle: 0, view: 0, step: 0, rows: null };
  let asked = 0;

  function rowsOf(view) {
    if (!opened.has(view.stream)) {
      if (opened.size > 60) opened.delete(opened.keys().next().value);
      opened.set(view.stream, inflate(streams[view.stream], "deflate").arrayBuffer().then(buffer =>
        Object.assign(new Rows(content, buffer, view.decisions), { gen: view.gen })));
    }
    return opened.get(view.stream);
  }

  const picker = el("select", { id: "battle", onchange: event => open(Number(event.target.value), 0, 0, true) });
  const sorter = el("select", { id: "sort", onchange: () => fill() }, Object.keys(SORTS).map(name => el("option", null, name)));
  const filter = el("input", { id: "filter", type: "search", placeholder: "id, player or format", oninput: () => fill() });
  const views = el("div", { class: "tabs", role: "group", "aria-label": "Whose view" });
  const slider = el("input", { id: "decision", type: "range", min: "1", "aria-label": "Decision", oninput: event => go(event.target.value - 1, false) });
  const place = el("output", { for: "decision", class: "place", "aria-live": "polite" });
  const stage = el("div", { class: "stage" }), facts = el("p", { class: "note" }), raw = el("div");
  const ribbon = el("div", { class: "ribbon", "aria-hidden": "true" });
  const drops = el("div", { class: "drops" });
  const step = by => go(now.step + by, true);
  const copy = el("button", { type: "button", onclick: share }, "Copy link");
  const allFields = el("details", { open: !content.schema.has_board, ontoggle: () => showRaw() }, el("summary", null, "All fields of this decision"), raw);
  const valued = content.together.some(run => content.runs[run].has_value);
  const isOutcome = content.battles.every(battle => battle.views.every(view => !known(view.total_reward) || [-1, 0, 1].includes(view.total_reward)));
  const worth = (run, at) => isOutcome ? (Math.max(-1, Math.min(1, now.rows.value(run, at))) + 1) / 2 : now.rows.value(run, at);
  const curve = valued ? chart("Predicted value over the battle", 150, curveOf) : null;

  function fill(first) {
    const wanted = filter.value.trim().toLowerCase();
    const key = battle => ({ decisions: battle.views.reduce((sum, view) => sum + view.decisions, 0),
      agreement: battle.views.reduce((sum, view) => sum + (view.agreement ?? 0.5), 0) / battle.views.length,
      rating: Math.max(0, ...battle.views.map(view => view.rating || 0)) });
    const listed = content.battles.map((battle, at) => ({ at, battle, ...key(battle) })).filter(({ battle }) => !wanted || [battle.id,
      ...battle.views.flatMap(view => [view.player_id, view.format])].some(text => text && text.toLowerCase().includes(wanted)));
    listed.sort(SORTS[sorter.value]);
    picker.replaceChildren(...listed.map(({ at, battle, decisions, agreement, rating }) => el("option", { value: at }, [battle.id,
      rating ? `rated ${Math.round(rating)}` : null, `${decisions} decisions`, `${percent(agreement, 0)} agreement`].filter(Boolean).join(" · "))));
    picker.value = String(first === "first" && listed.length ? listed[0].at : now.battle);
  }

  async function open(battle, view, at, push) {
    const mine = ++asked, which = content.battles[battle].views[view];
    const rows = await rowsOf(which);
    if (mine !== asked) return; // another one was asked for meanwhile
    const changed = now.rows !== rows;
    Object.assign(now, { battle, view, rows });
    if (changed) {
      picker.value = String(battle);
      views.replaceChildren(...content.battles[battle].views.map((each, other) => el("button", { type: "button",
        "aria-pressed": String(other === view), onclick: () => open(now.battle, other, 0, true) },
        `${each.player}${each.total_reward > 0 ? " · won" : each.total_reward < 0 ? " · lost" : ""}`)));
      slider.max = String(which.decisions);
      ribbon.replaceChildren(...Array.from({ length: which.decisions }, (_, other) => el("i", { class: agreement(rows, other),
        onclick: () => go(other, true) })));
      facts.textContent = [which.format, known(which.gen) && !String(which.format).startsWith("gen") ? `generation ${which.gen}` : null,
        which.imputed ? "moves or items that the log never showed were filled in" : null].filter(Boolean).join(" · ");
    }
    now.step = Math.max(0, Math.min(which.decisions - 1, at));
    if (changed) showDrops();
    render(changed);
    address(push);
  }

  const go = (at, push) => now.rows && open(now.battle, now.view, at, push);

  function render(changed) {
    const { rows, step: at } = now, battle = content.battles[now.battle], view = battle.views[now.view];
    const other = battle.views.find(each => each.player !== view.player);
    slider.value = String(at + 1);
    place.textContent = `Decision ${at + 1} of ${view.decisions}`;
    [...ribbon.children].forEach((tick, each) => tick.toggleAttribute("data-now", each === at));
    stage.replaceChildren(...(content.schema.has_board ? [board(rows, at, view, other)] : []), actionList(rows, at));
    showRaw();
    if (curve && (changed || !curve.layout)) draw(curve);
    else if (curve && plotly) plotly.relayout(curve, { shapes: [marker()] });
    if (curve && curve.on && !curve.listening) {
      curve.listening = true;
      curve.on("plotly_click", event => go(event.points[0].x - 1, true));
    }
  }

  function showRaw() { if (allFields.open && now.rows) raw.replaceChildren(rawFields(now.rows, now.step)); }

  const marker = () => ({ type: "line", x0: now.step + 1, x1: now.step + 1, yref: "paper", y0: 0, y1: 1, line: { color: colour("--text"), width: 1.5 } });

  function largestDrops() { // by the first run with a value: [step, change]
    const run = now.rows.runs.findIndex(each => each.value);
    if (run < 0) return [];
    return Array.from({ length: now.rows.length - 1 }, (_, at) => [at + 1, worth(run, at + 1) - worth(run, at)])
      .filter(([, change]) => change < -FEWEST_DROP).sort((one, two) => one[1] - two[1]).slice(0, 3);
  }

  function showDrops() {
    const found = largestDrops();
    const text = change => isOutcome ? `${Math.round(100 * change)} points` : change.toFixed(2);
    drops.replaceChildren(...(found.length ? [el("span", null, "Largest drops: "), ...found.map(([at, change]) => el("button", { type: "button",
      onclick: () => go(at, true) }, `decision ${at + 1} (${text(change).replace("-", "−")})`))] : []));
  }

  function curveOf() {
    const { rows } = now;
    if (!rows) return { data: [], layout: {} };
    const x = Array.from({ length: rows.length }, (_, at) => at + 1), found = largestDrops();
    const first = rows.runs.findIndex(each => each.value);
    const data = rows.runs.flatMap((each, run) => each.value ? [{ type: "scatter", mode: "lines+markers", x, y: x.map(at => worth(run, at - 1)),
      name: safe(content.runs[content.together[run]].name), line: { color: runShade(content.together[run]), width: 2 }, marker: { size: 5 },
      hovertemplate: isOutcome ? "decision %{x}: %{y:.0%}<extra></extra>" : "decision %{x}: %{y:.2f}<extra></extra>" }] : []);
    data.push({ type: "scatter", mode: "markers", name: "largest drops", x: found.map(([at]) => at + 1), y: found.map(([at]) => worth(first, at)),
      marker: { symbol: "triangle-down", size: 12, color: colour("--bad") }, hoverinfo: "skip" });
    return { data, layout: { shapes: [marker()], margin: { l: 0, r: 0, t: 6, b: 18 }, showlegend: false,
      xaxis: { range: [0.5, rows.length + 0.5], automargin: false, showgrid: false },
      yaxis: { automargin: false, ticklabelposition: "inside", tickfont: { color: colour("--muted"), size: 10 }, nticks: 3,
        ...(isOutcome ? { range: [-0.04, 1.04], tickvals: [0.25, 0.5, 0.75], tickformat: ".0%" } : {}) } } };
  }

  const hash = (battle, view, at) => `#${new URLSearchParams({ battle: content.battles[battle].id, player: content.battles[battle].views[view].player, decision: at + 1 })}`;

  function address(push) {
    const to = hash(now.battle, now.view, now.step);
    if (location.hash !== to) history[push ? "pushState" : "replaceState"](null, "", to);
  }

  function fromAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const battle = content.battles.findIndex(each => each.id === given.get("battle"));
    if (battle < 0) return false;
    const view = Math.max(0, content.battles[battle].views.findIndex(each => each.player === given.get("player")));
    open(battle, view, (parseInt(given.get("decision"), 10) || 1) - 1, false);
    return true;
  }

  async function share() {
    try { await navigator.clipboard.writeText(location.href); copy.textContent = "Copied"; } catch { copy.textContent = "Copy it from the address bar"; }
    setTimeout(() => { copy.textContent = "Copy link"; }, 2000);
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, .scroll, [role=tablist]")) return;
    const to = { ArrowLeft: now.step - 1, ArrowRight: now.step + 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to, !event.repeat);
  }

  async function listMoments(list) {
    const found = content.moments.map(moment => {
      const battle = content.battles.findIndex(each => each.views.some(view => view.row <= moment.row && moment.row < view.row + view.decisions));
      const view = content.battles[battle].views.findIndex(each => each.row <= moment.row && moment.row < each.row + each.decisions);
      return { ...moment, battle, view, step: moment.row - content.battles[battle].views[view].row };
    });
    for (const moment of found) {
      const rows = await rowsOf(content.battles[moment.battle].views[moment.view]);
      list.append(el("li", null, el("a", { href: hash(moment.battle, moment.view, moment.step) },
        el("b", null, actionLabel(rows, moment.step, moment.action)), el("span", null, ` though ${percentOf(moment.confidence)} for `,
          el("b", null, actionLabel(rows, moment.step, moment.best))),
        el("small", null, `${percentOf(moment.taken)} for the human's choice · ${content.battles[moment.battle].id}, decision ${moment.step + 1}`))));
    }
  }

  const moments = el("ol", { class: "moments" });
  const made = section("battles", "Battles", note(content.battles.length < content.of
    ? `A sample: ${whole(content.battles.length)} of ${whole(content.of)} battles of the split, those of the moments below and others at random; more would make this page too large.`
    : `All ${whole(content.of)} battles of the split.`, " Step through the decisions with ← and →."),
  el("div", { class: "pick" }, el("label", null, "Battle", picker), el("label", null, "Order", sorter), el("label", null, "Find", filter)),
  el("div", { class: "line" }, views, facts),
  el("div", { class: "steps" }, el("button", { type: "button", "aria-label": "Previous decision", onclick: () => step(-1) }, "←"), slider,
    el("button", { type: "button", "aria-label": "Next decision", onclick: () => step(1) }, "→"), place, copy),
  ribbon, el("p", { class: "legend" }, [["right", "the human's choice was the most likely"], ["near", "among the three most likely"], ["wrong", "less likely"],
    ["free", "no choice, or not known"]].map(([kind, text]) => el("span", null, el("i", { class: kind }), text))),
  curve && el("p", { class: "legend" }, isOutcome ? "The chance to win that the value head gives, over the battle" : "The return that the value head predicts, over the battle"),
  curve, drops, stage, allFields,
  el("h3", null, "Where policy and human differ most"), note("By how much likelier the policy's own choice was; at most two of one player's battle."), moments);
  return { made, async start() {
    fill("first");
    addEventListener("keydown", onKey);
    for (const event of ["hashchange", "popstate"]) addEventListener(event, fromAddress);
    if (!content.battles.length) return;
    if (fromAddress()) made.scrollIntoView(); else await open(Number(picker.value || 0), 0, 0, false);
    await listMoments(moments);
  }, drawn: () => now.rows && render(true) };
}
