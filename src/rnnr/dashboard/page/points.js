// The points of the metrics: two series for each run, one of batches and one of epochs.

import { byId } from "./text.js";

export const SERIES = ["batch", "epoch"];

export const newSeries = () => SERIES.map(() => ({ steps: [], metrics: new Map(), last: null }));

const nulls = (count) => Array(count).fill(null);

/** Merge an update into a series; return whether it has changed. */
export function merge(series, update) {
  const unchanged = update.from === series.steps.length && !update.steps.length;
  if (unchanged && JSON.stringify(update.last) === JSON.stringify(series.last)) return false;
  const kept = Math.min(update.from, series.steps.length);
  const added = new Map(Object.entries(update.metrics)); // a Map: a metric may be called "constructor"
  if (kept === 0) series.metrics.clear();
  for (const name of added.keys()) if (!series.metrics.has(name)) series.metrics.set(name, nulls(kept));
  for (const [name, values] of series.metrics)
    series.metrics.set(name, values.slice(0, kept).concat(added.get(name) ?? nulls(update.steps.length)));
  series.steps = series.steps.slice(0, kept).concat(update.steps);
  series.last = update.last;
  return true;
}

const lastOf = (series) => new Map(Object.entries(series.last?.metrics ?? {}));
export const metricsOf = (series) => [...series.metrics.keys(), ...lastOf(series).keys()];

/** Return a metric's points as x and y; a value that cannot be drawn is NaN, a gap. */
export function column(series, metric) {
  const lowest = byId("log-scale").checked ? Number.MIN_VALUE : -Infinity;
  const steps = [...series.steps, series.last?.step];
  const values = [...(series.metrics.get(metric) ?? nulls(series.steps.length)), lastOf(series).get(metric) ?? null];
  const there = steps.map((_, i) => i).filter((i) => values[i] !== null);
  const drawn = (value) => (typeof value === "number" && value >= lowest ? value : NaN);
  return { x: there.map((i) => steps[i]), y: there.map((i) => drawn(values[i])) };
}

/** Return the points that get a marker: all, or those between two gaps, which no line reaches. */
export function dots({ x, y }, all) {
  const gap = (i) => Number.isNaN(y[i] ?? NaN);
  const chosen = x.map((_, i) => i).filter((i) => !gap(i) && (all || (gap(i - 1) && gap(i + 1))));
  return { x: chosen.map((i) => x[i]), y: chosen.map((i) => y[i]) };
}

export function nearest({ x, y }, at) {
  const after = Math.max(1, x.findIndex((step) => step > at) >>> 0); // -1 becomes large: all steps are before
  const [left, right] = [Math.min(after, x.length) - 1, Math.min(after, x.length - 1)];
  return y[at - x[left] <= x[right] - at ? left : right];
}
