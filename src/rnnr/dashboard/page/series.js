// What is drawn of a curve: its place on the axis, its least and greatest values, and its smoothed mean.

import { positions } from "./axis.js";
import { curveOf, detailOf } from "./curves.js";
import { settings } from "./settings.js";
import { isNoise, smooth, spikes } from "./smooth.js";

export const view = { lo: 0, hi: 1, whole: { lo: 0, hi: 1, steps: 1 } }; // the range that all charts show

const cache = new WeakMap(); // columns -> the series made of them

/** Return the range over which smoothing is measured; it grows by steps, so that most curves stay as they are. */
function smoothingRange() {
  const part = (view.hi - view.lo) / (view.whole.hi - view.whole.lo || 1);
  const range = Math.max(1, view.whole.steps * part);
  return 1.1 ** Math.ceil(Math.log(range) / Math.log(1.1) - 1e-9);
}

/** Return the columns of a curve: every value of the part that is zoomed into, if those are more than its points there. */
function columnsOf(curve) {
  const [detail, whole] = [settings.zoom && detailOf(curve), curveOf(curve)];
  if (!detail || !whole) return detail || whole;
  const there = { x: whole.step, n: whole.n };
  const [from, to] = detail.part;
  return detail.n > indexAt(there, to, true) - indexAt(there, from) ? detail : whole; // which goes on beyond the part
}

/** Return whether a curve is noise, as it was found when it had about as many values. */
function isNoisy(columns) {
  const { mean, n, rewritten } = columns;
  const known = columns.noise;
  if (!known || known.rewritten !== rewritten || n < known.n || n > 1.02 * known.n) columns.noise = { rewritten, n, is: isNoise(mean, n) };
  return columns.noise.is;
}

export function seriesOf(curve) {
  const columns = columnsOf(curve);
  if (!columns) return null;
  const { lead } = curve.experiment;
  const range = smoothingRange();
  const axis = settings.x === "batches" ? "" : `${settings.x} ${lead.n_iters} ${lead.began} ${lead.clock.length} ${lead.epochs.length}`;
  const made = `${columns.stamp} ${settings.smooth} ${range} ${axis}`;
  const old = cache.get(columns);
  if (old?.made === made) return old;
  const { n, step, least, greatest, mean, width, bad = [] } = columns;
  const isSmoothed = settings.smooth > 0 && curve.of === "batch" && isNoisy(columns);
  const shown = isSmoothed ? smooth(step, mean, n, settings.smooth, range) : mean;
  const series = { made, n, step, x: positions(lead, step, n), least, greatest, mean, shown, isSmoothed, width, bad: positions(lead, bad, bad.length) };
  cache.set(columns, series);
  return series;
}

/** Return the first index whose x is not below a place, or that is beyond it. */
export function indexAt({ x, n }, at, isBeyond = false) {
  let [low, high] = [0, n];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < at || (isBeyond && x[middle] === at)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return the indexes in the shown range, with a point beyond each end. */
export function inRange(series) {
  return [Math.max(0, indexAt(series, view.lo) - 1), Math.min(series.n, indexAt(series, view.hi, true) + 1)];
}

/** Return how far a curve stands for values beyond an end: half a step, an interval, or what a hand cannot tell apart. */
function reach({ x, step, width, n }, i, next) {
  const least = 0.01 * (view.hi - view.lo);
  if (n < 2) return Math.max(least, settings.x === "batches" ? width : 0);
  return Math.max(least, (x[next] - x[i]) * Math.max(0.5, width / (step[next] - step[i])));
}

/** Return the places of a smoothed curve where a value is far from it, each with that value. */
export function spikesOf(series) {
  series.spikes ??= series.isSmoothed ? spikes(series) : [];
  const { least, greatest, shown } = series;
  series.peaks ??= Float64Array.from(series.spikes, (i) => (greatest[i] - shown[i] > shown[i] - least[i] ? greatest : least)[i]);
  return { at: series.spikes, values: series.peaks };
}

/** Return whether an interval has values that differ. */
export const hasRange = ({ least, greatest }, i) => greatest[i] > least[i];

/** Return the first and the last batch of an interval. */
export function batchesAt({ step, least, mean, width }, i) {
  const last = step[i] ?? 0;
  return [least === mean ? last : Math.floor((last - 1) / width) * width + 1, last];
}

/** Return the index nearest to a place, or -1 if the curve does not go so far. */
export function nearest(series, at) {
  const after = indexAt(series, at);
  if (!series.n) return -1;
  if (after === 0) return series.x[0] - at <= reach(series, 0, 1) ? 0 : -1;
  if (after === series.n) return at - series.x[after - 1] <= reach(series, after - 2, after - 1) ? after - 1 : -1;
  return at - series.x[after - 1] <= series.x[after] - at ? after - 1 : after;
}
