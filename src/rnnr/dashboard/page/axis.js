// The horizontal axis: batches, epochs, seconds or the time of day, and the range that all charts share.

import { curveOf } from "./curves.js";
import { settings } from "./settings.js";
import { clockTicks, linearTicks, timeTicks } from "./ticks.js";
import { durationText, grouped } from "./text.js";

/** Return where a number stands between pairs, and beyond the last ones as the last ones go on. */
export function interpolate(pairs, at, from = 0, to = 1) {
  if (!pairs.length) return NaN;
  if (pairs.length === 1) return pairs[0][to];
  let [low, high] = [0, pairs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (pairs[middle][from] <= at) low = middle;
    else high = middle;
  }
  const [[x0, y0], [x1, y1]] = [low, high].map((i) => [pairs[i][from], pairs[i][to]]);
  return x1 === x0 ? y1 : y0 + ((at - x0) / (x1 - x0)) * (y1 - y0);
}

function epochPairs({ epochs, n_batches, n_iters }) {
  if (!epochs.length) return [[0, 0], [n_batches || n_iters || 1, 1]];
  const [end, epoch] = epochs[0];
  if (end <= 0) return epochs;
  if (epoch <= 1) return [[0, epoch - 1], ...epochs];
  const begin = end - epochLength(epochs, n_batches);
  return [...(begin > 0 ? [[0, 0]] : []), [begin, epoch - 1], ...epochs];
}

/** Return the batches of the first epoch that is known; a run that was resumed has others before it. */
function epochLength([[end, epoch], next], n_batches) {
  if (next?.[0] > end && next[1] > epoch) return (next[0] - end) / (next[1] - epoch);
  return n_batches || end / epoch;
}

/** Return pairs of batches and seconds that never fall: a clock may be set back. */
function rising(clock) {
  let greatest = -Infinity;
  return clock.map(([step, seconds]) => [step, (greatest = Math.max(greatest, seconds))]);
}

const PAIRS = {
  epochs: epochPairs,
  time: ({ clock }) => rising(clock),
  clock: ({ clock, began }) => rising(clock).map(([step, seconds]) => [step, seconds + (began ?? NaN)]),
};

/** Return the x of the first n steps of a run on the chosen axis. */
export function positions(lead, steps, n) {
  if (settings.x === "batches") return steps;
  const pairs = PAIRS[settings.x](lead);
  const x = new Float64Array(n);
  for (let i = 0; i < n; i += 1) x[i] = interpolate(pairs, steps[i]);
  return x;
}

export const xAt = (lead, step) => (settings.x === "batches" ? step : interpolate(PAIRS[settings.x](lead), step));
export const stepAt = (lead, x) => (settings.x === "batches" ? x : interpolate(PAIRS[settings.x](lead), x, 1, 0));

/** Return the first and the last batch of the experiments that are shown. */
function steps(experiments, metrics) {
  let [lo, hi] = [Infinity, 0];
  for (const { lead } of experiments) {
    lo = Math.min(lo, lead.clock?.[0]?.[0] ?? 0);
    hi = Math.max(hi, lead.n_iters ?? 0, lead.clock?.at(-1)?.[0] ?? 0);
  }
  for (const { key, i } of metrics) {
    const curve = curveOf({ key, i });
    if (curve?.n) [lo, hi] = [Math.min(lo, curve.step[0]), Math.max(hi, curve.step[curve.n - 1])];
  }
  return lo < 0.3 * hi || lo >= hi ? [0, Math.max(hi, 1)] : [lo, hi];
}

/** Return the range of the whole axis, in its own units and in batches. */
export function wholeRange(experiments, metrics) {
  const [first, last] = steps(experiments, metrics);
  if (settings.x === "batches") return { lo: first, hi: last, steps: last - first };
  let [lo, hi] = [settings.x === "clock" ? Infinity : 0, -Infinity];
  for (const { lead } of experiments) {
    const own = Math.max(lead.n_iters ?? 0, lead.clock?.at(-1)?.[0] ?? 0);
    lo = Math.min(lo, xAt(lead, 0) || lo);
    hi = Math.max(hi, xAt(lead, own) || hi);
  }
  return lo < hi ? { lo, hi, steps: last - first } : { lo: 0, hi: 1, steps: last - first };
}

const BASE = { batches: (lo, hi, n) => linearTicks(lo, hi, n, 1), epochs: linearTicks, time: timeTicks, clock: clockTicks };
export const xTicks = (lo, hi, count) => BASE[settings.x](lo, hi, count);

/** Return a place on the axis in words. */
export function placeText(x) {
  if (settings.x === "batches") return `batch ${grouped(Math.max(0, Math.round(x)))}`;
  if (settings.x === "epochs") return `epoch ${x.toFixed(2)}`;
  if (settings.x === "time") return `after ${durationText(Math.max(0, x))}`;
  return new Date(x * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
