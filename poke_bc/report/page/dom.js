// Elements, texts and numbers. Nothing from the data is ever parsed as HTML: it only becomes text.

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) made.style.setProperty(key, to);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

const known = value => value !== null && value !== undefined;
const percent = (value, digits = 1) => known(value) ? `${(100 * value).toFixed(digits)}%` : "–";
const decimal = (value, digits = 3) => known(value) ? value.toFixed(digits) : "–";
const whole = value => known(value) ? Number(value).toLocaleString("en-US") : "–";
const plain = name => String(name).replaceAll("_", " ");
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

// heads: texts; rows: lists of texts or elements. The first column is a heading of its row.
function table(heads, rows, attributes) {
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "table" },
    el("table", attributes,
      el("thead", null, el("tr", null, heads.map(head => el("th", { scope: "col" }, head)))),
      el("tbody", null, rows.map(row => el("tr", row.attributes || null, row.map((cell, place) =>
        place ? el("td", null, cell) : el("th", { scope: "row" }, cell)))))));
}

function section(id, title, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), ...content);
}

const note = (...text) => el("p", { class: "note" }, ...text);

function counts(pairs, label) {
  const all = pairs.reduce((sum, [, count]) => sum + count, 0) || 1;
  const most = Math.max(1, ...pairs.map(([, count]) => count));
  return el("div", { class: "counts", role: "list", "aria-label": label }, pairs.map(([name, count]) =>
    el("div", { role: "listitem" }, el("span", { class: "name" }, String(name)),
      el("span", { class: "bar" }, el("i", { style: { width: `${100 * count / most}%` } })),
      el("span", { class: "figure" }, `${whole(count)} · ${percent(count / all)}`))));
}
