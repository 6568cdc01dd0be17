// One chart: its heading, and two canvases, of which the upper one has what moves with the mouse.

import { xTicks } from "./axis.js";
import { colourOf, css } from "./colours.js";
import { drawAxes, drawSeries, scalesOf } from "./draw.js";
import { valueRange } from "./range.js";
import { inRange, seriesOf, spikesOf, view } from "./series.js";
import { settings } from "./settings.js";
import { shownCurves } from "./shown.js";
import { isMany, lastOf, partLabel, runOf } from "./store.js";
import { element, numberText, setText } from "./text.js";
import { linearTicks, logTicks } from "./ticks.js";

const MARGIN = { left: 56, right: 12, top: 8, bottom: 26 };
const WITH_VALUES = 6; // curves whose latest values the heading has
const WITH_RUNS = 3; // experiments whose latest values the heading has
const LINE = 10; // pixels: a value that begins further down is on a second line

// Sizes are noted, since to ask for one while texts change takes a layout of the page.
const fitter = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    target.room = contentRect.width; // without that of the tools
    fitValues(target);
  }
});
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const { chart, drawAgain } = sized.get(target);
    chart.size = contentRect;
    drawAgain();
  }
});
const sized = new WeakMap(); // plot -> its chart, and what draws it again

/** Make a chart of a metric, which is drawn again when it has another size. */
export function makeChart(metric, drawAgain) {
  const chart = { metric, isNear: false, scales: null, size: { width: 0, height: 0 } };
  chart.values = element("ul", { className: "legend" });
  chart.tools = element("div", { className: "tools" });
  const heading = element("div", { className: "heading" }, element("h3", {}, element("bdi", {}, metric)), chart.values, chart.tools);
  [chart.base, chart.top] = ["base", "top"].map((className) => element("canvas", { className }));
  chart.plot = element("div", { className: "plot", tabIndex: 0, role: "img" }, chart.base, chart.top);
  chart.root = element("article", { className: "chart" }, heading, chart.plot);
  chart.root.dataset.metric = metric;
  sized.set(chart.plot, { chart, drawAgain });
  sizes.observe(chart.plot);
  fitter.observe(chart.values);
  return chart;
}

/** Return the curves of a chart that are shown, each with what is drawn of it. */
export function drawnCurves(metric) {
  const many = isMany();
  const curves = shownCurves(metric);
  const isOne = curves.every(({ experiment }) => experiment === curves[0].experiment);
  return curves.flatMap((curve) => {
    const series = seriesOf(curve);
    if (!series?.n || Number.isNaN(series.x[0])) return [];
    const isEpoch = curve.of === "epoch";
    return [{ ...curve, series, isEpoch, ink: colourOf(curve.experiment, curve.part), dash: many && curve.part > 0, hasBand: isOne && !isEpoch && !(many && curve.part > 0) }];
  });
}

/** Draw a chart again. */
export function draw(chart) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [Math.round(chart.size.width * ratio), Math.round(chart.size.height * ratio)];
  if (!width || !height) return;
  for (const canvas of [chart.base, chart.top])
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  chart.curves = drawnCurves(chart.metric);
  chart.plot.dataset.note = "";
  const context = chart.base.getContext("2d");
  context.clearRect(0, 0, width, height);
  Object.assign(chart, paint(context, chart.metric, chart.curves, { width, height, ratio }));
  if (!chart.scales) chart.plot.dataset.note = noteOf(chart);
  chart.ratio = ratio;
  showValues(chart);
}

function noteOf({ metric, curves }) {
  if (!shownCurves(metric).length) return "No run with this metric is shown.";
  if (!curves.length) return settings.x === "batches" ? "" : `No ${settings.x === "clock" ? "time of day" : settings.x} is known of these runs.`;
  return settings.log.includes(metric) ? "No finite value above 0 to draw." : "No finite value to draw.";
}

/** Draw curves and axes on any canvas; return the scales and the box, or no scales if there is nothing to draw. */
export function paint(context, metric, curves, { width, height, ratio, thin, top = 0 }) {
  const isLog = settings.log.includes(metric);
  const y = rangeOf(curves, isLog);
  const box = { left: MARGIN.left * ratio, top: top + MARGIN.top * ratio, ratio, css, y, bad: css.bad };
  Object.assign(box, { width: width - box.left - MARGIN.right * ratio, height: height - (MARGIN.top + MARGIN.bottom) * ratio });
  box.bottom = box.top + box.height;
  if (!y || box.width <= 0 || box.height <= 0) return { scales: null, box, y };
  const scales = scalesOf({ ...box, lo: view.lo, hi: view.hi, y, isLog });
  const [nX, nY] = [Math.max(2, box.width / ratio / 90), Math.max(2, box.height / ratio / 45)];
  const axes = (where) => drawAxes(where, box, scales, xTicks(view.lo, view.hi, nX), yTicksOf(y, nY, isLog), told("↑", y.above), told("↓", y.below));
  axes(context);
  context.save();
  context.beginPath();
  context.rect(box.left - 3 * ratio, box.top, box.width + 6 * ratio, box.height + 1); // room for a dot at the end
  context.clip();
  for (const hasBand of [true, false])
    for (const curve of curves) if (curve.hasBand === hasBand) drawSeries(context, curve.series, scales, { ...curve, ratio, thin, box, hasMarks: curves.length <= WITH_VALUES, hasDots: curves.length <= 2 * WITH_VALUES });
  context.restore();
  return { scales, box, y, axes };
}

const told = (arrow, value) => (value === null ? "" : `${arrow} ${numberText(value)}`);

function rangeOf(curves, isLog) {
  const parts = curves.map((curve) => ({ ...curve, part: inRange(curve.series) }));
  const raw = parts.flatMap(({ series, part }) => [[series.least, ...part], [series.greatest, ...part]]);
  const drawn = parts.flatMap(({ series, part, hasBand }) =>
    series.isSmoothed && !hasBand ? [[series.shown, ...part], peaksIn(series, part)] : [[series.least, ...part], [series.greatest, ...part]]);
  const lines = parts.map(({ series, part }) => [series.shown, ...part]);
  return valueRange(drawn, { clip: settings.clip && !settings.zoom, isLog, extremes: raw, lines });
}

function peaksIn(series, [from, to]) {
  const { at, values } = spikesOf(series);
  const some = values.filter((_, j) => at[j] >= from && at[j] < to);
  return [some, 0, some.length];
}

/** Show the latest values in the heading if there are few curves, and say them to who cannot see the chart. */
function showValues(chart) {
  const curves = shownCurves(chart.metric);
  const n = new Set(curves.map(({ experiment }) => experiment)).size;
  const few = curves.length <= WITH_VALUES && n <= WITH_RUNS ? curves : [];
  const texts = curves.slice(0, 12).map((curve) => [labelOf(curve), numberText(lastOf(curve))]);
  const beyond = [["up", chart.y?.above], ["down", chart.y?.below]].filter(([, value]) => value != null);
  const ranged = beyond.map(([way, value]) => `; values ${way} to ${numberText(value)} are clipped`).join("");
  const label = `${chart.metric}: ${texts.map((text) => text.join(" ")).join(", ") || "nothing shown"}${ranged}`;
  if (chart.label !== label) chart.plot.setAttribute("aria-label", (chart.label = label));
  const made = few.map((curve) => `${labelOf(curve)} ${curve.of} ${colourOf(curve.experiment, curve.part)}`).join("\n");
  if (chart.made !== made) chart.values.replaceChildren(...few.map(valueItem), ...(few.length ? [element("li", { className: "more" })] : []));
  few.forEach((curve, i) => setText(chart.values.children[i].lastChild, valueText(curve)));
  fitValues(chart.values, chart.made !== made);
  chart.made = made;
}

/** Hide the values that the line has no room for, and say how many they are: no number is cut. */
function fitValues(list, isNew = false) {
  const [items, more] = [[...list.children].slice(0, -1), list.lastChild];
  const widths = `${list.room} ${items.map(({ textContent }) => textContent.replace(/\d/g, "0")).join()}`;
  if (!more || (!isNew && list.dataset.widths === widths)) return;
  list.dataset.widths = widths;
  const isIn = ({ offsetTop, offsetLeft, offsetWidth }) => offsetTop < LINE && offsetLeft + offsetWidth <= list.clientWidth;
  for (let n = items.length; n >= 0; n -= 1) {
    items.forEach((item, i) => (item.hidden = i >= n));
    more.hidden = n === items.length;
    setText(more, more.hidden ? "" : n ? `+${items.length - n} more` : `${items.length} values`);
    if ([...items.slice(0, n), more].every((item) => item.hidden || isIn(item))) break;
  }
  more.title = items.filter(({ hidden }) => hidden).map(({ title, lastChild }) => `${title}: ${lastChild.textContent}`).join("\n");
}

function valueText(curve) {
  const n = runOf(curve).metrics.not_finite?.[curve.i];
  return numberText(lastOf(curve)) + (n ? ` (${n} not finite)` : "");
}

/** Return the name of a curve: the part if there is one experiment, else the experiment, and its part if it has several. */
export function labelOf(curve) {
  const part = partLabel(runOf(curve));
  if (!isMany()) return part;
  return curve.experiment.parts.length > 1 ? `${curve.experiment.name} ${part}` : curve.experiment.name;
}

function valueItem(curve) {
  const isLine = isMany() && curve.experiment.parts.length > 1; // the parts of a run have one colour
  const mark = element("span", { className: isLine ? `line${curve.part ? " dashed" : ""}` : "mark", ariaHidden: "true" });
  mark.style[isLine ? "color" : "background"] = colourOf(curve.experiment, curve.part);
  return element("li", { title: labelOf(curve) + (curve.of === "epoch" ? ", of epochs" : "") }, mark, element("span", { className: "name" }, element("bdi", {}, labelOf(curve)), " "), element("span", { className: "value" }));
}

function yTicksOf(y, count, isLog) {
  return (isLog ? logTicks : linearTicks)(y.lo, y.hi, count).filter(({ at }) => at >= y.lo && at <= y.hi);
}

/** Let go of a chart that is not needed any more. */
export function forget(chart) {
  sizes.unobserve(chart.plot);
  fitter.unobserve(chart.values);
  release(chart);
}

/** Free the memory of a chart that has left the view. */
export function release(chart) {
  for (const canvas of [chart.base, chart.top]) Object.assign(canvas, { width: 0, height: 0 });
  chart.scales = null;
}
