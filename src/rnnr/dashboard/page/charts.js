// All charts: in groups that fold, drawn a few a frame, and only those in view.

import { draw, forget, makeChart, release } from "./chart.js";
import { wholeRange } from "./axis.js";
import { searcher } from "./pattern.js";
import { view } from "./series.js";
import { change, settings, toggled } from "./settings.js";
import { shownCurves, shownExperiments } from "./shown.js";
import { isMany, store } from "./store.js";
import { byId, element, setText } from "./text.js";

const FEW = 8; // a larger group starts folded, but for the first one
const FRAME = 6; // milliseconds of drawing in a frame, after which the next chart waits for the next frame

export const charts = new Map(); // metric -> its chart
const groups = new Map(); // prefix -> its part of the page
const dirty = new Set(); // charts in view that must be drawn
let frame = null;
const hooks = { made: [], drawn: [], seen: [] };
export const spent = { milliseconds: 0 }; // on drawing since the page last asked the server

export const when = (what, listener) => hooks[what].push(listener);
const tell = (what, ...some) => hooks[what].forEach((listener) => listener(...some));

export const groupOf = (metric) => (metric.indexOf("/") > 0 ? metric.slice(0, metric.indexOf("/")) : "metrics");

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const chart = charts.get(target.dataset.metric);
    if (!chart || chart.root !== target) continue;
    chart.isNear = isIntersecting;
    if (isIntersecting) drawSoon(chart);
    else dirty.delete(chart), release(chart);
  }
  tell("seen");
}, { rootMargin: "150px" });

export const near = () => [...charts.values()].filter(({ isNear }) => isNear);
export const curvesInView = () => near().flatMap(({ metric }) => shownCurves(metric));

/** Make charts for new metrics, remove those that are gone, and put them into their groups. */
export function arrange() {
  const isFound = searcher(settings.q);
  const found = [...store.metrics.keys()].filter(isFound);
  for (const [metric, chart] of charts) if (!store.metrics.has(metric)) remove(metric, chart);
  const names = [...new Set(found.map(groupOf))].sort((a, b) => (a === "system") - (b === "system"));
  for (const name of groups.keys()) if (!names.includes(name)) fold(groups.get(name));
  names.forEach((name, i) => fill(groups.get(name) ?? makeGroup(name), found.filter((metric) => groupOf(metric) === name), i === 0));
  byId("charts").replaceChildren(...names.map((name) => groups.get(name).root));
  byId("no-metrics").hidden = found.length > 0;
  setText(byId("no-metrics"), store.metrics.size ? "No metric is found." : "No metric yet. A chart appears with the first value of a metric.");
}

function makeGroup(name) {
  const group = { name, metrics: [], grid: element("div", { className: "grid" }), count: element("span", { className: "count" }) };
  group.root = element("details", { className: "group" }, element("summary", {}, element("h2", {}, element("bdi", {}, name)), group.count), group.grid);
  group.root.dataset.group = name;
  group.root.addEventListener("toggle", () => toggleGroup(group));
  groups.set(name, group);
  return group;
}

function fill(group, metrics, isFirst) {
  group.metrics = metrics;
  setText(group.count, String(metrics.length));
  group.byItself = Boolean(settings.q) || isFirst || metrics.length <= FEW;
  const isOpen = settings.q ? true : settings.open.includes(group.name) || (!settings.fold.includes(group.name) && group.byItself);
  if (group.root.open !== isOpen) group.root.open = isOpen;
  if (isOpen) unfold(group);
  else fold(group);
}

/** Keep in the address which groups differ from how they start. */
function toggleGroup(group) {
  const { open } = group.root;
  if (open) unfold(group);
  else fold(group);
  const list = group.byItself ? "fold" : "open";
  const isNoted = settings[list].includes(group.name);
  if (!settings.q && isNoted === (open === group.byItself)) change({ [list]: toggled(settings[list], group.name) });
}

function unfold(group) {
  const roots = group.metrics.map((metric) => (charts.get(metric) ?? make(metric)).root);
  if (roots.length !== group.grid.children.length || roots.some((root, i) => group.grid.children[i] !== root)) group.grid.replaceChildren(...roots);
}

function fold(group) {
  for (const root of [...group.grid.children]) {
    const chart = charts.get(root.dataset.metric);
    if (chart) remove(chart.metric, chart);
  }
}

function make(metric) {
  const chart = makeChart(metric, () => chart.isNear && drawSoon(chart));
  charts.set(metric, chart);
  tell("made", chart);
  watcher.observe(chart.root);
  return chart;
}

function remove(metric, chart) {
  watcher.unobserve(chart.root);
  dirty.delete(chart);
  forget(chart);
  chart.root.remove();
  charts.delete(metric);
}

/** Find the range that all charts share, and draw those again whose curves are changed, or all. */
export function redraw(isChanged = () => true) {
  const before = `${view.lo} ${view.hi}`;
  const shown = shownExperiments();
  view.whole = wholeRange(shown, curvesInView());
  [view.lo, view.hi] = settings.zoom ?? [view.whole.lo, view.whole.hi];
  const all = `${view.lo} ${view.hi}` !== before;
  for (const chart of near()) if (all || isChanged(chart)) drawSoon(chart);
  byId("charts").classList.toggle("many", isMany());
}

export function drawSoon(chart) {
  dirty.add(chart);
  frame ??= requestAnimationFrame(drawNext);
}

/** Draw in a frame as many charts as there is time for, and at least one, so that the page stays at hand. */
function drawNext() {
  frame = null;
  const begun = performance.now();
  for (const chart of dirty) {
    dirty.delete(chart);
    if (chart.isNear) draw(chart), tell("drawn", chart);
    if (performance.now() - begun > FRAME) break;
  }
  spent.milliseconds += performance.now() - begun;
  if (dirty.size) frame = requestAnimationFrame(drawNext);
}
