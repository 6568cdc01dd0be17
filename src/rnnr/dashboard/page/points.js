// The points of the metrics: two series for each run, batches and epochs.

import { byId } from "./text.js";

export const SERIES = ["batch", "epoch"];

export const newSeries = () => SERIES.map(() => ({ steps: [], metrics: new Map(), last: null }));

const nothing = (count) => Array(count).fill(null);

export function merge(series, news) {
  const unchanged = news.from === series.steps.length && !news.steps.length;
  if (unchanged && JSON.stringify(news.last) === JSON.stringify(series.last)) return false;
  const kept = Math.min(news.from, series.steps.length);
  const arrived = new Map(Object.entries(news.metrics)); // a Map: somebody's metric may be called "constructor"
  if (kept === 0) series.metrics.clear();
  for (const name of arrived.keys()) if (!series.metrics.has(name)) series.metrics.set(name, nothing(kept));
  for (const [name, values] of series.metrics)
    series.metrics.set(name, values.slice(0, kept).concat(arrived.get(name) ?? nothing(news.steps.length)));
  series.steps = series.steps.slice(0, kept).concat(news.steps);
  series.last = news.last;
  return true;
}

const lastOf = (series) => new Map(Object.entries(series.last?.metrics ?? {}));
export const metricsOf = (series) => [...series.metrics.keys(), ...lastOf(series).keys()];

/** Give a metric's points as x and y; what cannot be drawn is NaN, a gap. */
export function column(series, metric) {
  const lowest = byId("log-scale").checked ? Number.MIN_VALUE : -Infinity;
  const steps = [...series.steps, series.last?.step];
  const values = [...(series.metrics.get(metric) ?? nothing(series.steps.length)), lastOf(series).get(metric) ?? null];
  const there = steps.map((_, i) => i).filter((i) => values[i] !== null);
  const drawn = (value) => (typeof value === "number" && value >= lowest ? value : NaN);
  return { x: there.map((i) => steps[i]), y: there.map((i) => drawn(values[i])) };
}

/** Choose the points that get a marker: all, or those that no line reaches, between two gaps. */
export function dots({ x, y }, all) {
  const gap = (i) => Number.isNaN(y[i] ?? NaN);
  const chosen = x.map((_, i) => i).filter((i) => !gap(i) && (all || (gap(i - 1) && gap(i + 1))));
  return { x: chosen.map((i) => x[i]), y: chosen.map((i) => y[i]) };
}

export function nearest({ x, y }, at) {
  const after = Math.max(1, x.findIndex((step) => step > at) >>> 0); // -1 becomes large: all are before
  const [left, right] = [Math.min(after, x.length) - 1, Math.min(after, x.length - 1)];
  return y[at - x[left] <= x[right] - at ? left : right];
}
