// One cursor in all charts, with a sorted table of the values there, and the highlighted run.

import { placeText, stepAt } from "./axis.js";
import { near, when } from "./charts.js";
import { css } from "./colours.js";
import { dot, drawSeries } from "./draw.js";
import { batchesAt, hasRange, nearest } from "./series.js";
import { focus, highlight, whenFocused } from "./shown.js";
import { isMany, partLabel, runOf } from "./store.js";
import { settings } from "./settings.js";
import { byId, element, grouped, numberText, setText } from "./text.js";

const REACH = 24; // pixels within which a curve is the nearest
const ROWS = 15; // of the table at most

export const cursor = { x: null, chart: null, selection: null, isByKey: false };
export const extra = []; // charts that are in no group: the enlarged one

export function moveCursor(x, chart, { y = null, isByKey = false } = {}) {
  Object.assign(cursor, { x, chart, isByKey });
  if (isMany() && y !== null && x !== null) highlight(curveNear(chart, x, y)?.experiment.key ?? null);
  else if (x === null) highlight(null);
  drawAll();
}

/** Return the curve that is nearest to a place on a chart, in pixels, if one is near. */
export function curveNear(chart, x, y) {
  let [best, least] = [null, REACH * chart.ratio];
  for (const curve of chart.curves ?? []) {
    const i = nearest(curve.series, x);
    if (i < 0 || !chart.scales) continue;
    const at = chart.scales.toX(curve.series.x[i]) - chart.scales.toX(x);
    const distance = Math.hypot(at, chart.scales.toY(curve.series.shown[i]) - y * chart.ratio);
    if (distance < least) [best, least] = [curve, distance];
  }
  return best;
}

let frame = null;
export const drawAll = () => (frame ??= requestAnimationFrame(drawNow));

function drawNow() {
  frame = null;
  const isFaded = isMany() && focus.key !== null;
  byId("charts").classList.toggle("faded", isFaded);
  for (const chart of [...near(), ...extra]) drawTop(chart);
  showTable();
}

function drawTop(chart) {
  const context = chart.top.getContext("2d");
  if (chart.hasTop) context.clearRect(0, 0, chart.top.width, chart.top.height);
  chart.hasTop = Boolean(chart.scales && (cursor.x !== null || cursor.selection || (isMany() && focus.key)));
  if (!chart.hasTop) return;
  const { scales, box, ratio } = chart;
  if (isMany() && focus.key) chart.axes(context); // those below are faded
  context.save();
  context.beginPath();
  context.rect(box.left - 5 * ratio, box.top, box.width + 10 * ratio, box.height + 1);
  context.clip();
  if (cursor.selection) drawSelection(context, chart);
  if (isMany() && focus.key)
    for (const curve of chart.curves.filter(({ experiment }) => experiment.key === focus.key))
      drawSeries(context, curve.series, scales, { ...curve, ratio, box, hasBand: !curve.isEpoch && curve.part === 0, hasMarks: true, hasDots: true, isStrong: true });
  if (cursor.x !== null) drawCursor(context, chart);
  context.restore();
}

function drawSelection(context, { scales, box }) {
  const [from, to] = cursor.selection.map(scales.toX);
  Object.assign(context, { fillStyle: css.accent, globalAlpha: 0.15 });
  context.fillRect(from, box.top, to - from, box.height);
  context.globalAlpha = 1;
}

function drawCursor(context, { scales, box, curves, ratio }) {
  context.fillStyle = css.edge;
  context.fillRect(Math.round(scales.toX(cursor.x)), box.top, Math.max(1, Math.round(ratio)), box.height);
  const some = isMany() ? curves.filter(({ experiment }) => experiment.key === focus.key) : curves;
  for (const { series, ink } of some) {
    const i = nearest(series, cursor.x);
    if (i < 0) continue;
    for (const [fill, radius] of [[css.card, 4.5], [ink, 3]]) {
      context.fillStyle = fill;
      dot(context, scales.toX(series.x[i]), scales.toY(series.shown[i]), radius * ratio);
    }
  }
}

/** Return the rows of the table: for each experiment (or part) the values at the cursor. */
function valuesAt(chart) {
  const columns = [];
  const rows = new Map();
  const ofBatches = new Set(chart.curves.filter(({ of }) => of === "batch").map((curve) => partLabel(runOf(curve))));
  for (const curve of chart.curves) {
    const i = nearest(curve.series, cursor.x);
    if (i < 0) continue;
    const run = runOf(curve);
    const both = curve.of === "epoch" && ofBatches.has(partLabel(run)) ? " epoch" : "";
    const part = isMany() ? partLabel(run) + both : curve.of === "epoch" && curve.series.n ? "epoch" : "batch";
    const key = isMany() ? curve.experiment.key : run.key;
    if (!rows.has(key)) rows.set(key, { key, name: isMany() ? run.name : partLabel(run), ink: curve.ink, cells: new Map(), sortBy: NaN, isLost: false });
    const row = rows.get(key);
    const put = (column, value) => row.cells.has(column) || (columns.includes(column) || columns.push(column), row.cells.set(column, value));
    if (isMany() && curve.part === 0) row.name = curve.experiment.name;
    put(part, valueText(curve.series.shown[i]) + elsewhere(curve, i));
    if (curve.series.isSmoothed || hasRange(curve.series, i)) put(`${part} raw`, rawText(curve.series, i));
    if (Number.isNaN(curve.series.mean[i])) row.isLost = true;
    if (Number.isNaN(row.sortBy)) row.sortBy = curve.series.shown[i];
  }
  return { columns, rows: [...rows.values()].sort(inOrder) };
}

/** Return in words the batch of a value, if it is not the one of the cursor. */
function elsewhere({ series: { step, width }, experiment: { lead } }, i) {
  const [at, last] = [stepAt(lead, cursor.x), step[i]];
  const room = settings.x === "batches" ? Math.max(0.5, width / 2) : Math.max(1, width); // a place in time is between two batches
  return at > last + room || at < last - width + 1 - room ? ` (batch ${grouped(last)})` : "";
}

/** What is not finite comes first, and then the greatest. */
const inOrder = (a, b) => b.isLost - a.isLost || Number.isNaN(a.sortBy) - Number.isNaN(b.sortBy) || b.sortBy - a.sortBy;

const rawText = (series, i) =>
  hasRange(series, i) ? `${numberText(series.least[i])} … ${numberText(series.greatest[i])}` : valueText(series.mean[i]);

/** Return the place of the cursor in words, and the batches of the widest interval there if it has several. */
function whereText({ curves }, x) {
  let [from, to] = [0, 0];
  for (const { series, experiment: { key, lead } } of curves) {
    if (focus.key !== null && key !== focus.key) continue;
    const [first, last] = batchesAt(series, nearest(series, x));
    const isThere = Math.abs(stepAt(lead, x) - last) <= last - first + 1; // a curve may have ended
    if (isThere && last - first > to - from) [from, to] = [first, last];
  }
  if (to === from) return placeText(x);
  const batches = `batches ${grouped(from)} to ${grouped(to)}`;
  return settings.x === "batches" ? batches : `${placeText(x)} · ${batches}`;
}

function showTable() {
  const { chart, x } = cursor;
  const table = byId("values");
  table.hidden = x === null || !chart?.curves?.length || !chart.scales;
  if (table.hidden) return;
  const { columns, rows } = valuesAt(chart);
  const where = whereText(chart, x);
  const at = Math.max(0, rows.findIndex(({ key }) => key === focus.key) - (ROWS >> 1));
  const first = Math.max(0, Math.min(at, rows.length - ROWS));
  const some = rows.slice(first, first + ROWS);
  const head = element("tr", {}, element("th", {}), ...columns.map((name) => element("th", { scope: "col", className: "number" }, columns.length > 1 ? name : "")));
  const more = [[first, "above"], [rows.length - first - some.length, "below"]].filter(([n]) => n > 0).map(([n, where]) => `${n} ${where}`);
  table.replaceChildren(
    element("p", { className: "place" }, where),
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...some.map((row) => rowOf(row, columns)))),
    element("p", { className: "more" }, more.join(" · ")),
  );
  place(table, chart, x);
  if (cursor.isByKey) setText(byId("spoken"), `${where}: ${some.map((row) => `${row.name} ${[...row.cells.values()].join(" ")}`).join(", ")}`);
}

function rowOf({ key, name, ink, cells }, columns) {
  const mark = element("span", { className: "mark" });
  mark.style.background = ink;
  const values = columns.map((column) => element("td", { className: "number" }, cells.get(column) ?? ""));
  return element("tr", { className: key === focus.key ? "focus" : "" }, element("th", { scope: "row" }, mark, element("bdi", {}, name)), ...values);
}

const valueText = (value) => (Number.isNaN(value) ? "not finite" : numberText(value));

/** Put the table beside the cursor, inside the window. */
function place(table, chart, x) {
  const plot = chart.plot.getBoundingClientRect();
  const dialog = chart.root.closest("dialog");
  if (table.parentNode !== (dialog ?? document.body)) (dialog ?? document.body).append(table);
  const at = plot.left + chart.scales.toX(x) / chart.ratio;
  const { width, height } = table.getBoundingClientRect();
  const left = at + 14 + width < innerWidth ? at + 14 : at - 14 - width;
  const top = Math.min(plot.top + 8, innerHeight - height - 8);
  table.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  table.style.top = `${Math.max(4, top)}px`;
}

whenFocused(drawAll);
when("drawn", (chart) => (chart.hasTop || cursor.x !== null || focus.key) && drawAll());
