// Puts the page together.

async function main() {
  const content = JSON.parse(await inflate(document.getElementById("report-content").textContent, "gzip").text());
  const battles = content.battles && content.battles.length ? browser(content) : null;
  const sections = [summary(content), battles && battles.made, learning(content), accuracy(content), slices(content), calibration(content),
    confusion(content), heads(content), dataCard(content), deadFields(content), settings(content)].filter(Boolean);
  document.getElementById("top").append(
    el("div", { class: "line" }, el("h1", null, "poke-bc report"), el("span", { class: "note" }, content.runs.map((run, place) =>
      el("span", { class: "chip" }, runName(run, place)))), themeButton()),
    el("nav", { "aria-label": "Sections" }, sections.map(each => el("a", { href: `#${each.id}` }, each.querySelector("h2").textContent))));
  document.getElementById("page").replaceChildren(...sections);
  document.body.append(el("footer", { class: "note" }, `Made by poke-bc ${content.version}. Charts: Plotly (MIT licence).`));
  if (battles) await battles.start();
  await loadPlotly();
  if (battles) battles.drawn();
  document.documentElement.dataset.ready = "yes";
}

main().catch(error => {
  console.error(error);
  document.getElementById("page").prepend(el("p", { class: "remark" }, `This browser cannot open the report: ${error.message}. ` +
    "It needs a version from 2023 or later."));
});
