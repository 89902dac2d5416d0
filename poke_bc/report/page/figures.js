// Sections about how good the policies are: summary, learning curves, accuracy, calibration, confusion.

const SUMMARY = [["top1", "top-1", percent], ["top3", "top-3", percent], ["nll", "NLL", decimal], ["ece", "ECE", percent]];

const runMark = place => el("i", { class: "dot", style: { background: runColour(place) }, "aria-hidden": "true" });
const runName = (run, place) => [runMark(place), run.name];

function interval(figures, name, show) {
  const bounds = figures.interval && figures.interval[name];
  return bounds ? `${show(bounds[0])} – ${show(bounds[1])}` : null;
}

function withInterval(figures, name, show) {
  const bounds = interval(figures, name, show);
  return [show(figures[name]), bounds && el("small", null, bounds)];
}

function summary(content) {
  const split = { val: "validation", test: "test", train: "training", all: "given" }[content.split];
  const tiles = content.runs.map((run, place) => el("article", { class: "run", style: { "--run": runColour(place) } },
    el("h3", null, runName(run, place)),
    el("p", { class: "note" }, `${run.network}, ${whole(run.parameters)} parameters` +
      (run.checkpoint ? `, ${run.checkpoint}` : "")),
    el("dl", { class: "tiles" }, SUMMARY.filter(([name]) => known(run.figures[name])).map(([name, title, show]) =>
      el("div", null, el("dt", null, title), el("dd", null, withInterval(run.figures, name, show))))),
    run.figures.remarks.map(remark => el("p", { class: "remark" }, remark))));
  const { decisions, judged } = content.runs[0].figures;
  return section("summary", "Summary",
    note(`${whole(decisions)} decisions with a choice, from ${whole(judged.battles)} battles of the ${split} split. ` +
      "top-1 and top-3: how often people's choice was the most likely one, and one of the three most likely. " +
      "Below a figure, where it lies with 95% confidence if other battles had been drawn."),
    el("div", { class: "runs" }, tiles),
    content.verdicts.map(verdict => el("p", { class: "verdict" }, verdict + ".")));
}

function learning(content) {
  const line = (run, place, name, values, dash) => ({
    type: "scatter", mode: values.x.length > 60 ? "lines" : "lines+markers", name: safe(name), x: values.x, y: values.y,
    line: { color: runShade(place), dash, width: 2 }, marker: { size: 5 } });
  const several = content.runs.length > 1;
  const called = (run, what) => several ? `${run.name}: ${what}` : what;
  const loss = chart("Loss over the samples seen in training", 320, () => ({
    data: content.runs.flatMap((run, place) => [
      line(run, place, called(run, "training loss"), { x: run.curve.samples, y: run.curve.policy_loss }, "dot"),
      line(run, place, called(run, "validation NLL"), { x: run.evaluations.map(each => each.samples),
        y: run.evaluations.map(each => each.nll) }, "solid")]).filter(trace => trace.x.length),
    layout: { xaxis: { title: { text: "samples" } }, yaxis: { title: { text: "loss" } } } }));
  const accuracy = chart("Accuracy on the validation split over the samples seen in training", 320, () => ({
    data: content.runs.flatMap((run, place) => [["top1", "top-1", "solid"], ["top3", "top-3", "dash"]].map(
      ([key, title, dash]) => line(run, place, called(run, title), { x: run.evaluations.map(each => each.samples),
        y: run.evaluations.map(each => each[key]) }, dash))).filter(trace => trace.x.length),
    layout: { xaxis: { title: { text: "samples" } }, yaxis: { title: { text: "accuracy" }, tickformat: ".0%" } } }));
  const any = content.runs.some(run => run.curve.samples.length || run.evaluations.length);
  return section("learning", "Learning curves", any ? el("div", { class: "pair" }, loss, accuracy)
    : note("No metrics: these are policies without their runs."),
  any && note("The training loss is that of the actions alone, with dropout and any label smoothing, so the two losses are not comparable point by point."));
}

function accuracy(content) {
  const rows = content.runs.flatMap((run, place) => [
    Object.assign([runName(run, place), whole(run.figures.decisions), ...["nll", "top1", "top3"].map(name =>
      withInterval(run.figures, name, name === "nll" ? decimal : percent))], { attributes: { class: "ours" } })]);
  const seen = new Map();
  for (const run of content.runs) {
    for (const [name, figures] of Object.entries(run.figures.baselines)) {
      const key = `${name} ${figures.nll} ${figures.top1}`; // runs that learned from the same data share them
      if (!seen.has(key)) seen.set(key, [plain(name), figures]);
    }
  }
  const baselines = [...seen.values()].map(([name, figures]) => [name, whole(figures.decisions), decimal(figures.nll),
    percent(figures.top1), percent(figures.top3)]);
  return section("accuracy", "Against no learning at all",
    table(["", "decisions", "NLL", "top-1", "top-3"], [...rows, ...baselines], { class: "figures" }));
}

const sliceName = (kind, name, content) => kind === "action" && content.actions[name] ? content.actions[name] : plain(name);

function slices(content) {
  const kinds = [...new Set(content.runs.flatMap(run => Object.keys(run.figures.slices)))];
  const body = el("div");
  const buttons = kinds.map(kind => el("button", { type: "button", role: "tab", "aria-selected": "false",
    onclick: () => show(kind) }, plain(kind)));
  function show(kind) {
    buttons.forEach((button, place) => button.setAttribute("aria-selected", String(kinds[place] === kind)));
    const names = [...new Set(content.runs.flatMap(run => Object.keys(run.figures.slices[kind] || {})))];
    const of = (run, name) => (run.figures.slices[kind] || {})[name];
    const bars = chart(`top-1 by ${plain(kind)}`, Math.max(180, 70 + names.length * (18 + 12 * content.runs.length)), () => ({
      data: content.runs.map((run, place) => {
        const there = names.filter(name => of(run, name));
        const bounds = there.map(name => (of(run, name).interval || {}).top1);
        return { type: "bar", orientation: "h", name: safe(run.name), y: there.map(name => safe(sliceName(kind, name, content))),
          x: there.map(name => of(run, name).top1), marker: { color: runShade(place) },
          hovertemplate: "%{y}: %{x:.1%}<extra></extra>",
          error_x: bounds.every(known) ? { type: "data", symmetric: false, color: colour("--muted"), thickness: 1.2, width: 3,
            array: there.map((name, at) => bounds[at][1] - of(run, name).top1),
            arrayminus: there.map((name, at) => of(run, name).top1 - bounds[at][0]) } : undefined };
      }),
      layout: { barmode: "group", bargap: 0.25, showlegend: content.runs.length > 1, yaxis: { type: "category", autorange: "reversed" },
        xaxis: { tickformat: ".0%", rangemode: "tozero", title: { text: "top-1" } } } }));
    for (const holder of charts.keys()) if (body.contains(holder)) charts.delete(holder);
    body.replaceChildren(el("div", { class: "pair" }, bars,
      table(["", ...(content.runs.length > 1 ? ["run"] : []), "decisions", "NLL", "top-1", "top-3", "ECE"],
        names.flatMap(name => content.runs.map((run, place) => [run, place]).filter(([run]) => of(run, name)).map(([run, place]) => {
          const figures = of(run, name);
          return [sliceName(kind, name, content), ...(content.runs.length > 1 ? [runName(run, place)] : []),
            whole(figures.decisions), withInterval(figures, "nll", decimal), withInterval(figures, "top1", percent),
            withInterval(figures, "top3", percent), percent(figures.ece)];
        })), { class: "figures" })));
    draw(bars);
  }
  const made = section("slices", "Where it is right", note("Shares of decisions, cut in different ways."),
    el("div", { class: "tabs", role: "tablist", "aria-label": "Kind of slice" }, buttons), body);
  if (kinds.length) show(kinds.includes("kind") ? "kind" : kinds[0]);
  return made;
}

function calibration(content) {
  const lines = chart("Accuracy over confidence", 340, () => ({
    data: [{ type: "scatter", mode: "lines", x: [0, 1], y: [0, 1], name: "perfect", hoverinfo: "skip",
      line: { color: colour("--muted"), dash: "dot", width: 1 } },
    ...content.runs.map((run, place) => ({ type: "scatter", mode: "lines+markers", name: safe(run.name),
      x: run.figures.reliability.map(bin => bin.confidence), y: run.figures.reliability.map(bin => bin.accuracy),
      text: run.figures.reliability.map(bin => whole(bin.decisions)), line: { color: runShade(place) },
      marker: { size: run.figures.reliability.map(bin => 5 + 12 * Math.sqrt(bin.decisions / run.figures.decisions)) },
      hovertemplate: "said %{x:.1%}, right %{y:.1%}<br>%{text} decisions<extra></extra>" }))],
    layout: { xaxis: { range: [0, 1], tickformat: ".0%", title: { text: "probability of the most likely action" } },
      yaxis: { range: [0, 1], tickformat: ".0%", title: { text: "how often people took it" } } } }));
  const spread = chart("Decisions by confidence", 340, () => ({
    data: content.runs.map((run, place) => ({ type: "bar", name: safe(run.name), marker: { color: runShade(place) },
      x: run.figures.reliability.map(bin => bin.confidence), y: run.figures.reliability.map(bin => bin.decisions / run.figures.decisions),
      hovertemplate: "%{y:.1%} of decisions near %{x:.0%}<extra></extra>" })),
    layout: { showlegend: false, xaxis: { range: [0, 1], tickformat: ".0%", title: { text: "probability of the most likely action" } },
      yaxis: { tickformat: ".0%", title: { text: "share of decisions" } } } }));
  return section("calibration", "Calibration",
    note("Does it know when it is right? On the dotted line, what it calls 60% happens in 60% of cases. Larger points hold more decisions."),
    el("div", { class: "pair" }, lines, spread));
}

function confusionMap(run, place, { names, counts }, height) {
  const shares = counts.map(row => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return row.map(count => all ? count / all : 0);
  });
  return chart(`Confusion of actions of ${run.name}`, height, () => ({
    data: [{ type: "heatmap", x: names.map(plain), y: names.map(plain), z: shares, showscale: false, xgap: 1, ygap: 1, zmin: 0,
      customdata: counts.map(row => row.map(whole)),
      text: shares.map(row => row.map(share => share >= 0.005 ? String(Math.round(100 * share)) : "")), texttemplate: "%{text}",
      colorscale: [[0, colour("--card")], [1, runShade(place)]],
      hovertemplate: "people: %{y}<br>policy: %{x}<br>%{z:.1%}, %{customdata} decisions<extra></extra>" }],
    layout: { xaxis: { title: { text: "most likely for the policy" }, tickangle: -45 },
      yaxis: { autorange: "reversed", title: { text: "taken by people" } } } }));
}

function confusion(content) {
  const maps = content.runs.flatMap((run, place) => [
    el("figure", null, el("figcaption", null, runName(run, place), " · kinds"), confusionMap(run, place, run.figures.confusion.kinds, 340)),
    el("figure", null, el("figcaption", null, runName(run, place), " · slots"), confusionMap(run, place, run.figures.confusion.actions, 420))]);
  return section("confusion", "Confusion of actions",
    note("Of 100 times that people took an action, how often the policy found which one most likely. Slots have no meaning of ",
      "their own: moves and Pokémon stand in the order of their names."), el("div", { class: "pair" }, maps));
}

// The other heads, where a policy has them: against the constant that knows the rate only.
function heads(content) {
  const tables = [["value", "Value head: who wins"], ["gimmick", "Gimmick head: what is activated with a move"]].map(([head, title]) => {
    const those = content.runs.map((run, place) => [run, place]).filter(([run]) => run.figures[head]);
    const names = [...new Set(those.flatMap(([run]) => Object.keys(run.figures[head])))].filter(name =>
      those.some(([run]) => typeof run.figures[head][name] === "number"));
    return those.length ? block(title, table(["", ...those.map(([run, place]) => runName(run, place))], names.map(name =>
      [plain(name), ...those.map(([run]) => headValue(name, run.figures[head][name]))]), { class: "figures" })) : null;
  }).filter(Boolean);
  return tables.length ? section("heads", "Other heads", el("div", { class: "pair" }, tables)) : null;
}

const headValue = (name, value) => typeof value !== "number" ? "–" : Number.isInteger(value) && name !== "auc" ? whole(value) : decimal(value, 4);
