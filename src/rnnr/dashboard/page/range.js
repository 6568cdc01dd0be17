// The range of a chart's values: outliers are clipped, never silently, and no curve as a whole.

const FAR = 1.5; // times the extent of the middle 90 %: what is further from it is an outlier
const SAMPLE = 4000;
const [LEAST, MOST] = [1e-300, Number.MAX_VALUE]; // the least extent that pixels can be told apart in, the greatest value

/** Return the lowest and highest value to show, and the extremes beyond that are not shown: of each of some lines, a part is. */
export function valueRange(columns, { clip, isLog, extremes, lines = [] }) {
  const usable = (value) => Number.isFinite(value) && (!isLog || value > 0);
  const scale = isLog ? Math.log10 : (value) => value;
  const bounds = clip ? widened(bound(columns, usable, scale), lines, usable, scale) : [-Infinity, Infinity];
  let [lo, hi] = [Infinity, -Infinity];
  for (const [values, from, to] of [...columns, ...lines])
    for (let i = from; i < to; i += 1) {
      const value = values[i];
      if (!usable(value)) continue;
      const at = scale(value);
      if (at < bounds[0] || at > bounds[1]) continue;
      if (value < lo) lo = value;
      if (value > hi) hi = value;
    }
  if (lo > hi) return null;
  const [least, greatest] = extent(extremes, Number.isFinite);
  const isBelow = least < lo && (!usable(least) || scale(least) < bounds[0]); // what has no logarithm is below, too
  const told = { below: isBelow ? least : null, above: scale(greatest) > bounds[1] && greatest > hi ? greatest : null };
  return { ...(isLog ? padLog(lo, hi) : pad(lo, hi)), ...told };
}

/** Return the bounds beyond which a value is an outlier. */
function bound(columns, usable, scale) {
  const n = columns.reduce((sum, [, from, to]) => sum + to - from, 0);
  const stride = Math.max(1, Math.ceil(n / SAMPLE));
  const sample = [];
  for (const [values, from, to] of columns)
    for (let i = from; i < to; i += stride) if (usable(values[i])) sample.push(scale(values[i]));
  const sorted = Float64Array.from(sample).sort();
  const [low, high] = [0.05, 0.95].map((part) => sorted[Math.round(part * (sorted.length - 1))]);
  const far = FAR * (high - low);
  return far > 0 ? [low - far, high + far] : [-Infinity, Infinity];
}

/** Return bounds between which each line has a value: the nearest one, of a line that is beyond as a whole. */
function widened([low, high], lines, usable, scale) {
  const nearest = lines.map(([values, from, to]) => {
    let [below, above] = [-Infinity, Infinity];
    for (let i = from; i < to; i += 1) {
      if (!usable(values[i])) continue;
      const at = scale(values[i]);
      if (at >= low && at <= high) return null;
      if (at < low) below = Math.max(below, at);
      else above = Math.min(above, at);
    }
    return low - below < above - high ? below : above;
  });
  const places = nearest.filter(Number.isFinite);
  return [Math.min(low, ...places), Math.max(high, ...places)];
}

function extent(columns, usable) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const [values, from, to] of columns)
    for (let i = from; i < to; i += 1) {
      if (!usable(values[i])) continue;
      if (values[i] < least) least = values[i];
      if (values[i] > greatest) greatest = values[i];
    }
  return [least, greatest];
}

function pad(lo, hi) {
  const room = lo === hi ? Math.abs(lo) / 2 || 1 : (hi / 2 - lo / 2) * 0.1;
  const some = Math.max(room, LEAST);
  return { lo: Math.max(lo - some, -MOST), hi: Math.min(hi + some, MOST) };
}

function padLog(lo, hi) {
  const [low, high] = [Math.log10(lo), Math.log10(hi)];
  const room = lo === hi ? 0.3 : (high - low) * 0.05;
  return { lo: Math.max(10 ** (low - room), Number.MIN_VALUE), hi: Math.min(10 ** (high + room), Number.MAX_VALUE) };
}
