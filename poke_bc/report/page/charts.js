// Charts by Plotly, which the page carries compressed; drawn again when the colours change.

const charts = new Map(); // element -> function of the theme that returns traces and layout
const RUN_COLOURS = ["--run0", "--run1", "--run2", "--run3", "--run4", "--run5"];
let plotly = null;

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const runColour = place => `var(${RUN_COLOURS[place % RUN_COLOURS.length]})`;
const runShade = place => colour(RUN_COLOURS[place % RUN_COLOURS.length]);
const safe = text => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // Plotly reads tags in texts

async function loadPlotly() {
  const code = await inflate(document.getElementById("report-plotly").textContent, "gzip").text();
  document.head.append(el("script", null, code));
  plotly = window.Plotly;
  for (const holder of charts.keys()) draw(holder);
}

function chart(label, height, make) {
  const holder = el("div", { class: "chart", role: "img", "aria-label": label, style: { height: `${height}px` } });
  charts.set(holder, make);
  return holder;
}

function draw(holder) {
  if (!plotly || !holder.isConnected) return;
  const { data, layout } = charts.get(holder)();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
    automargin: true, fixedrange: true };
  plotly.react(holder, data, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 12, t: 12, b: 40 },
    font: { color: colour("--text"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", ...layout,
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    ...(layout.yaxis2 ? { yaxis2: { ...axis, ...layout.yaxis2 } } : {}),
  }, { displayModeBar: false, responsive: true });
}

const drawAll = () => { for (const holder of charts.keys()) draw(holder); };

// auto -> light -> dark: auto follows the system
function themeButton() {
  const order = ["auto", "light", "dark"];
  let now = "auto";
  try { now = order.includes(localStorage.theme) ? localStorage.theme : "auto"; } catch { /* no storage here */ }
  const button = el("button", { class: "theme", type: "button", onclick: () => set(order[(order.indexOf(now) + 1) % 3]) });
  function set(theme) {
    now = theme;
    document.documentElement.dataset.theme = theme;
    button.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme];
    button.setAttribute("aria-label", `Colours: ${theme}. Change`);
    try { localStorage.theme = theme; } catch { /* no storage here */ }
    drawAll();
  }
  set(now);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  return button;
}
