"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Sorting: a click on a heading sorts by its column, a second one turns it around; what is missing stays last.
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

// Pointing out: what belongs to the models that are pointed at or were pressed is shown, the other curves fade.
const pressed = new Set();
function show(pointed) {
  const rows = new Set(pointed === undefined ? pressed : [...pressed, pointed]);
  document.body.classList.toggle("picked", rows.size > 0);
  all("[data-row]").forEach((each) => each.classList.toggle("on", rows.has(each.dataset.row)));
}
for (const event of ["pointerover", "focusin"]) {
  document.addEventListener(event, ({ target }) => show(target.closest("[data-row]")?.dataset.row));
}
document.documentElement.addEventListener("pointerleave", () => show());
all(".legend button").forEach((button) => button.addEventListener("click", () => {
  const { row } = button.dataset;
  pressed[pressed.has(row) ? "delete" : "add"](row);
  button.setAttribute("aria-pressed", pressed.has(row));
  show();
}));

// Which loss the chart shows.
all(".tabs button").forEach((button) => button.addEventListener("click", () => {
  all(".tabs button").forEach((other) => other.setAttribute("aria-pressed", other === button));
  all("figure[data-chart]").forEach((figure) => { figure.hidden = figure.dataset.chart !== button.dataset.chart; });
}));
