// Several experiments: a table with a row for each, to pick, hide, sort and compare them.

import { colourOf } from "./colours.js";
import { bestOf, columns, sorted } from "./columns.js";
import { faultsOf } from "./filter.js";
import { facts, percentText, shownStatus, statusOf } from "./facts.js";
import { sorting } from "./metrics.js";
import { change, settings } from "./settings.js";
import { focus, highlight, isListed, isPicked, showAll, solo, toggle, whenFocused } from "./shown.js";
import { store } from "./store.js";
import { byId, element, setText } from "./text.js";

const rows = new Map(); // key of an experiment -> its row and the parts of it that change

function makeRow(experiment) {
  const { key } = experiment;
  const again = () => store.experiments.find((one) => one.key === key) ?? experiment;
  const row = { cells: [] };
  row.dot = element("button", { type: "button", className: "dot" });
  row.status = element("span", { className: "state", role: "img" });
  row.name = element("button", { type: "button", className: "solo" }, element("bdi", {}));
  row.note = element("small", {});
  row.head = element("th", { scope: "row" }, element("div", {}, row.name, row.note));
  row.root = element("tr", {}, element("td", { className: "pick" }, row.dot), element("td", { className: "at" }, row.status), row.head);
  row.root.dataset.run = experiment.name;
  row.dot.addEventListener("click", () => (toggle(again()), highlight(key)));
  row.name.addEventListener("click", () => solo(again()));
  for (const event of ["pointerenter", "focusin"]) row.root.addEventListener(event, () => highlight(key));
  for (const event of ["pointerleave", "focusout"]) row.root.addEventListener(event, () => highlight(null));
  rows.set(key, row);
  return row;
}

function fillRow(row, experiment, all, best) {
  const { lead, name } = experiment;
  const isOn = isPicked(experiment);
  row.root.classList.toggle("hidden-run", !isOn);
  row.dot.style.setProperty("--hue", colourOf(experiment));
  row.dot.setAttribute("aria-pressed", isOn);
  row.dot.setAttribute("aria-label", `show ${name}`);
  row.name.title = `${name}: ${statusOf(lead)} · ${facts(lead).join(" · ")}. Press to show it alone.`;
  setText(row.name.firstChild, name);
  setText(row.note, noteOf(lead));
  row.status.className = `state ${shownStatus(lead)}`;
  row.status.setAttribute("aria-label", statusOf(lead));
  row.status.title = statusOf(lead);
  while (row.cells.length > all.length) row.cells.pop().remove();
  while (row.cells.length < all.length) row.root.append((row.cells[row.cells.length] = element("td", {})));
  all.forEach((column, i) => {
    const cell = row.cells[i];
    setText(cell, column.text(experiment));
    const isBest = best[i] !== undefined && column.value(experiment) === best[i];
    cell.className = [column.isNumber ? "number" : "", column.isConfig ? "entry" : "", isBest ? "best" : ""].join(" ");
  });
}

function noteOf(run) {
  if (shownStatus(run) === "running") return percentText(run);
  if (run.status === "silent") return "no end"; // as the filter calls it; the whole would be cut
  return ["finished", "stopped", "failed"].includes(run.status) ? "" : statusOf(run);
}

function sortBy(column) {
  const { id, isDown } = sorting();
  const first = column.id === id ? !isDown : Boolean(column.isUp);
  change({ sort: `${column.id} ~${first ? "down" : "up"}` });
}

let headings = "";

function showHead(all) {
  const { id, isDown } = sorting();
  const made = JSON.stringify([id, isDown, all.map(({ id: one, label, sub, isUp }) => [one, label, sub, isUp])]);
  if (made === headings) return;
  headings = made;
  const cell = (column) => {
    const isSorted = column.id === id;
    const arrow = isSorted ? (isDown ? "↓" : "↑") : "";
    const button = element("button", { type: "button", title: column.title ?? "" }, element("bdi", {}, column.label), element("small", {}, (column.sub ? ` ${column.sub}` : "") + arrow));
    button.addEventListener("click", () => sortBy(column));
    const heading = element("th", { scope: "col", className: column.isNumber ? "number" : "" }, button);
    if (isSorted) heading.setAttribute("aria-sort", isDown ? "descending" : "ascending");
    return heading;
  };
  const { activeElement } = document;
  const at = [...byId("heads").querySelectorAll("button")].indexOf(activeElement);
  byId("heads").replaceChildren(byId("heads").children[0], element("td", {}), cell({ id: "name", label: "Run" }), ...all.map(cell));
  if (at >= 0) byId("heads").querySelectorAll("button")[at]?.focus(); // new nodes would lose the keyboard's place
}

export function showTable() {
  const all = columns();
  const listed = store.experiments.filter(isListed);
  const best = all.map((column) => bestOf(column, store.experiments));
  for (const key of [...rows.keys()]) if (!store.experiments.some((one) => one.key === key)) rows.delete(key);
  showHead(all);
  const roots = sorted(listed, all).map((experiment) => {
    const row = rows.get(experiment.key) ?? makeRow(experiment);
    fillRow(row, experiment, all, best);
    return row.root;
  });
  const body = byId("rows");
  if (body.children.length !== roots.length || roots.some((root, i) => body.children[i] !== root)) putInOrder(body, roots);
  const note = faultsOf(settings.filter).join("; ") || (listed.length ? "" : "No run is found.");
  byId("no-runs").hidden = !note;
  setText(byId("no-runs"), note);
  const n = listed.filter(isPicked).length;
  setText(byId("n-runs"), `${n} of ${store.experiments.length}`);
  Object.assign(byId("all-runs"), { checked: n > 0 && n === listed.length, indeterminate: n > 0 && n < listed.length });
  setText(byId("columns"), settings.columns === "all" ? "Less" : "All columns");
  document.body.classList.toggle("wide", settings.columns === "all");
}

function putInOrder(body, roots) {
  const { activeElement } = document;
  body.replaceChildren(...roots);
  if (body.contains(activeElement) && document.activeElement !== activeElement) activeElement.focus({ preventScroll: true });
}

export function connectTable() {
  byId("all-runs").addEventListener("change", ({ target }) => showAll(target.checked));
  byId("columns").addEventListener("click", () => change({ columns: settings.columns === "all" ? "few" : "all" }));
  byId("filter").value = settings.filter;
  byId("filter").addEventListener("input", ({ target }) => change({ filter: target.value }));
  whenFocused(() => {
    for (const [key, { root }] of rows) root.classList.toggle("focus", key === focus.key);
  });
}
