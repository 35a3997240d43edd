"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Sorting: a click on a heading sorts by its column, a second one reverses the order; missing values stay last.
const body = document.querySelector("#leaderboard tbody");
const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
const missing = (row, column) => row.cells[column].classList.contains("none") && row.cells[column].dataset.v === undefined;
const number = (text) => (text === "inf" ? Infinity : Number(text));
function compared(a, b) {
  const [x, y] = [number(a), number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return a.localeCompare(b, "en", { numeric: true });
  return x === y ? 0 : x - y;
}
function sort(head) {
  const column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
  all("#leaderboard th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) =>
    missing(a, column) - missing(b, column) || (down ? -1 : 1) * compared(value(a, column), value(b, column)));
  body.append(...rows);
}
all("#leaderboard th button").forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));

// Highlighting: everything of the models that are hovered or pinned stands out, the other curves fade.
const pinned = new Set();
function highlight(hovered) {
  const rows = new Set(hovered === undefined ? pinned : [...pinned, hovered]);
  document.body.classList.toggle("picked", rows.size > 0);
  all("[data-row]").forEach((each) => each.classList.toggle("on", rows.has(each.dataset.row)));
}
for (const event of ["pointerover", "focusin"]) {
  document.addEventListener(event, ({ target }) => highlight(target.closest("[data-row]")?.dataset.row));
}
document.documentElement.addEventListener("pointerleave", () => highlight());
all(".legend button").forEach((button) => button.addEventListener("click", () => {
  const { row } = button.dataset;
  pinned[pinned.has(row) ? "delete" : "add"](row);
  button.setAttribute("aria-pressed", pinned.has(row));
  highlight();
}));

// Tabs: one chart is shown at a time.
all(".tabs button").forEach((button) => button.addEventListener("click", () => {
  all(".tabs button").forEach((other) => other.setAttribute("aria-pressed", other === button));
  all("figure[data-chart]").forEach((figure) => { figure.hidden = figure.dataset.chart !== button.dataset.chart; });
}));
