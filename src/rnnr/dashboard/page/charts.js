// A chart for each metric. Bokeh never gets a name of the user's: it would read some as HTML or TeX.

import { SERIES, column, dots, merge, metricsOf, nearest, newSeries } from "./points.js";
import { byId, element, grouped, numberText, setText } from "./text.js";
import { colour, mark, shape } from "./runs.js";

const MARKERS = ["circle", "square", "triangle", "diamond", "inverted_triangle", "star"];
const MANY = 150; // from so many epochs on only the line is drawn: markers would hide it

const allSeries = new Map(); // run -> its two series
const charts = new Map(); // metric -> its chart, in order of first appearance
let latestRuns = []; // the runs of the latest answer

function makeFigure() {
  const log = byId("log-scale").checked;
  const touch = matchMedia("(pointer: coarse)").matches; // a touch on a chart must scroll the page
  const figure = Bokeh.Plotting.figure({
    height: 200, sizing_mode: "stretch_width", min_border: 4, min_border_right: 14, y_axis_type: log ? "log" : "linear",
    tools: "pan,wheel_zoom,box_zoom,reset", active_drag: touch ? null : "pan", toolbar_location: "above",
    background_fill_color: null, border_fill_color: null, outline_line_color: null,
  });
  // Without this padding, a new layout hides the last tool in a menu, as if it did not fit.
  Object.assign(figure.toolbar, { logo: null, autohide: true, styles: { "padding-left": "24px" } });
  Object.assign(figure.xaxis, {
    axis_label: "batches",
    formatter: new Bokeh.NumeralTickFormatter({ format: "0,0" }),
    ticker: new Bokeh.BasicTicker({ min_interval: 1, desired_num_ticks: 4 }),
    major_label_policy: new Bokeh.NoOverlap({ min_distance: 12 }),
  });
  if (!log) figure.yaxis.formatter = new Bokeh.BasicTickFormatter({ power_limit_low: -5 });
  figure.xgrid.visible = false;
  return figure;
}

function makeChart(metric) {
  const chart = { metric, series: new Map(), at: null };
  chart.when = element("span", { className: "when" });
  chart.legend = element("ul", { className: "legend" });
  const heading = element("div", { className: "heading" }, element("h3", {}, element("bdi", {}, metric)), chart.when);
  chart.place = element("div", { className: "plot" });
  chart.root = element("article", { className: "chart" }, heading, chart.legend, chart.place);
  chart.root.dataset.metric = metric;
  byId("charts").append(chart.root);
  charts.set(metric, chart);
  plot(chart);
  return chart;
}

function plot(chart) {
  const previous = chart.view?.then(release);
  chart.figure = makeFigure();
  chart.cursor = new Bokeh.Span({ dimension: "height", line_color: "gray", line_alpha: 0.5, visible: false });
  chart.figure.add_layout(chart.cursor);
  chart.hasRange = false;
  chart.series.clear();
  chart.legend.replaceChildren();
  chart.figure.on_event("mousemove", ({ x }) => showValues(chart, x));
  chart.figure.on_event("mouseleave", () => showValues(chart, null));
  paint(chart);
  chart.view = Promise.resolve(previous).then(() => Bokeh.Plotting.show(chart.figure, chart.place));
}

/** Release what Bokeh keeps for a figure: its views, and its document in a global list. */
function release(view) {
  Bokeh.documents.splice(Bokeh.documents.indexOf(view.model.document), 1);
  view.owner.clear();
}

function makeSeries(chart, run) {
  const series = { batch: makeCurve(chart.figure, run, 1), epoch: makeCurve(chart.figure, run, 2) };
  series.value = element("span", { className: "value" });
  chart.series.set(run, series);
  chart.legend.append(element("li", {}, mark(run), element("bdi", {}, run), " ", series.value));
  paint(chart);
}

function makeCurve(figure, run, width) {
  const [line, dots] = [0, 1].map(() => new Bokeh.ColumnDataSource({ data: { x: [], y: [] } }));
  const at = [{ field: "x" }, { field: "y" }];
  const curve = figure.line(...at, { source: line, line_width: width, line_join: "round" }).glyph;
  const markers = figure.scatter(...at, { source: dots, size: 3 + 2 * width, marker: MARKERS[shape(run)] }).glyph;
  return { line, dots, curve, markers };
}

/** Take the colours from the style sheet, which depends on whether the page is light or dark. */
function paint({ figure, series }) {
  const css = getComputedStyle(document.documentElement);
  const [muted, line, font] = ["--muted", "--line", "--sans"].map((name) => css.getPropertyValue(name).trim());
  const text = { color: muted, font, font_size: "12px", font_style: "normal" };
  for (const [property, value] of Object.entries(text))
    figure.axis[`axis_label_text_${property}`] = figure.axis[`major_label_text_${property}`] = value;
  Object.assign(figure.axis, { axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null });
  figure.grid.grid_line_color = line;
  for (const [run, { batch, epoch }] of series) {
    const ink = css.getPropertyValue(colour(run)).trim();
    for (const { curve, markers } of [batch, epoch])
      curve.line_color = markers.line_color = markers.fill_color = ink;
  }
}

function setData(source, data) {
  if (data.x.length || source.data.x.length) source.data = data; // a source that stays empty needs no drawing
}

function draw(chart, run) {
  const series = chart.series.get(run);
  for (const [i, name] of SERIES.entries()) {
    const points = column(allSeries.get(run)[i], chart.metric);
    setData(series[name].line, points);
    setData(series[name].dots, dots(points, name === "epoch" && points.x.length <= MANY));
  }
  const hasEpochs = series.epoch.line.data.x.length > 0; // then batches are the background
  Object.assign(series.batch.curve, { line_alpha: hasEpochs ? 0.55 : 1, line_width: hasEpochs ? 1 : 1.5 });
  setRange(chart);
}

/** Set a sensible range for a metric that never changes, and say why a chart is empty. */
function setRange(chart) {
  const values = [...chart.series.values()].flatMap(({ batch, epoch }) => [batch.line.data.y, epoch.line.data.y]);
  const first = values.map((y) => y.find(Number.isFinite)).find(Number.isFinite);
  const log = byId("log-scale").checked;
  chart.place.dataset.note = first !== undefined ? "" : log ? "No finite value above 0 to draw." : "No finite value to draw.";
  if (chart.hasRange || log || !first) return;
  chart.hasRange = true; // only once: setting it again would undo the user's zoom
  chart.figure.y_range.default_span = Math.abs(first);
}

/** Show for each run its latest value, or the value under the mouse. */
function showValues(chart, at) {
  chart.at = at;
  chart.cursor.setv({ location: at, visible: at !== null });
  setText(chart.when, at === null ? "latest" : `at batch ${grouped(Math.max(0, Math.round(at)))}`);
  for (const { name, latest } of latestRuns) {
    const series = chart.series.get(name);
    if (!series) continue;
    const { data } = (series.batch.line.data.x.length ? series.batch : series.epoch).line;
    const newest = new Map(Object.entries(latest ?? {})).get(chart.metric);
    setText(series.value, numberText(at === null ? newest : nearest(data, at)));
  }
}

export function showCharts(runs) {
  const present = new Set();
  latestRuns = runs;
  for (const { name, series: updates } of runs) {
    if (!allSeries.has(name)) allSeries.set(name, newSeries());
    const changed = allSeries.get(name).map((series, i) => merge(series, updates[i])).includes(true);
    for (const metric of new Set(allSeries.get(name).flatMap(metricsOf))) {
      present.add(metric);
      const chart = charts.get(metric) ?? makeChart(metric);
      if (!chart.series.has(name)) makeSeries(chart, name);
    }
    if (changed) for (const chart of charts.values()) if (chart.series.has(name)) draw(chart, name);
  }
  for (const chart of charts.values()) {
    if (present.has(chart.metric)) showValues(chart, chart.at);
    else removeChart(chart);
  }
  byId("no-metrics").hidden = charts.size > 0;
}

function removeChart({ metric, root, view }) {
  charts.delete(metric);
  root.remove();
  view.then(release);
}

export function replotAll() {
  for (const chart of charts.values()) {
    const drawn = [...chart.series.keys()];
    plot(chart); // a figure cannot change its scale
    for (const run of drawn) makeSeries(chart, run);
    for (const run of drawn) draw(chart, run);
    showValues(chart, null);
  }
}

export function removeCharts() {
  for (const chart of charts.values()) removeChart(chart);
  allSeries.clear();
}

export const repaint = () => charts.forEach(paint);

/** Return the points of a run in the chart of a metric; for tests. */
export function points(metric, run) {
  const series = charts.get(metric)?.series.get(run);
  const copy = ({ line }) => ({ x: [...line.data.x], y: [...line.data.y] });
  return series ? { batch: copy(series.batch), epoch: copy(series.epoch) } : null;
}
