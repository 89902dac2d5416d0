// Sections about what the policies learned from, and how they were trained.

function dataCard(content) {
  const { data } = content;
  const facts = Object.entries(data.facts).map(([name, value]) => [plain(name), valueText(value)]);
  if (data.dates.length) facts.push(["dates", data.dates[0] === data.dates[1] ? data.dates[0] : data.dates.join(" to ")]);
  if (data.players) facts.push(["players", whole(data.players)]);
  if (data.imputed) facts.push(["views with filled-in slots", whole(data.imputed)]);
  if (data.split.by) facts.push(["split by", data.split.by + (data.split.where ? `, where ${data.split.where}` : "")]);
  const ratings = data.ratings.length ? chart("Ratings of the players", 260, () => ({
    data: [{ type: "bar", x: data.ratings.map(([first]) => first + 50), y: data.ratings.map(([, count]) => count),
      marker: { color: runShade(0) }, hovertemplate: "%{y:,} views near %{x}<extra></extra>" }],
    layout: { bargap: 0.05, xaxis: { title: { text: "rating" } }, yaxis: { title: { text: "views of battles" } } } }))
    : note("No ratings were recorded.");
  return section("data", "Data card",
    el("p", { class: "note" }, data.folder), data.remarks.map(remark => el("p", { class: "remark" }, remark)),
    el("div", { class: "pair" },
      el("div", null, el("h3", null, "Facts"), table(["", ""], facts, { class: "facts" })),
      el("div", null, el("h3", null, "Ratings"), ratings,
        data.unrated > 0 && note(`${whole(data.unrated)} views without a rating.`),
        block("Formats", counts(data.formats, "Formats")), block("Outcomes", counts(Object.entries(data.outcomes), "Outcomes")))),
    el("div", { class: "grid" },
      block("Labels", counts(Object.entries(data.labels), "Labels")),
      block("Number of legal actions", counts(Object.entries(data.legal_actions).map(([count, rows]) =>
        [count === "0" ? "not recorded" : count, rows]), "Legal actions")),
      block("Quarantine", data.quarantined.length ? counts(data.quarantined, "Quarantine")
        : note("No line was quarantined.")),
      block(`Sources (${whole(data.source_count)})`, table(["", "lines", "decisions", "quarantined"],
        data.sources.map(each => [each.name, whole(each.lines), whole(each.decisions), whole(each.quarantined)])))));
}

const block = (title, ...content) => el("div", null, el("h3", null, title), ...content);

function valueText(value) {
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : String(value);
  if (value && typeof value === "object") {
    return Object.entries(value).map(([name, each]) => `${plain(name)} ${valueText(each)}`).join(", ");
  }
  return String(value);
}

function deadFields(content) {
  const odd = content.data.fields.filter(field => field.note);
  return section("fields", "Fields that say nothing", odd.length
    ? [note(`${odd.length} of ${content.data.fields.length} fields never vary in these data, so no policy can learn from them.`),
      table(["field", "kind", "why"], odd.map(field => [field.name, field.kind, field.why || field.note]))]
    : note(`All ${content.data.fields.length} fields vary.`));
}

function settings(content) {
  const rows = content.settings;
  const differ = rows.filter(row => row.differs);
  const shown = (list, mark) => table(["setting", ...content.runs.map((run, place) => runName(run, place))], list.map(row =>
    Object.assign([row.name, ...row.values], { attributes: { class: mark && row.differs ? "differs" : null } })), { class: "settings" });
  return section("settings", "Configuration",
    content.runs.length > 1 && [el("h3", null, "Differences"),
      differ.length ? shown(differ, false) : note("The runs have the same settings.")],
    el("details", { open: content.runs.length === 1 }, el("summary", null, "All settings"), shown(rows, true)));
}
