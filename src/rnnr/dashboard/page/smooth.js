// Smoothing: a running mean that forgets, as TensorBoard's, but by distance and not by number of points.
//
// TensorBoard keeps a share w of the mean at each point, so the same w means something else once a curve is
// thinned. Here w is the share kept over a thousandth of the range; with a thousand even points they are the same.

const STRIDE = 8;
const ROUGH = 1.5; // eight middle steps of a schedule are as long as the middle one over eight points, and not so many times
const SPIKE = 6; // times the usual distance from the smoothed curve
const SAMPLE = 200; // steps of which the middle one is taken, so that one spike or a divergence does not count

/** Return the running mean of the first n values; what is not finite stays as it is. */
export function smooth(x, y, n, w, range) {
  const shown = new Float64Array(n);
  let [mean, missing, previous, distance, kept] = [0, 1, NaN, NaN, 0];
  const first = n > 1 ? x[1] - x[0] : 1;
  for (let i = 0; i < n; i += 1) {
    if (!Number.isFinite(y[i])) {
      shown[i] = y[i];
      continue;
    }
    const dx = Number.isNaN(previous) ? first : x[i] - previous;
    if (dx !== distance) [distance, kept] = [dx, w ** ((dx / range) * 1000)];
    mean = kept * mean + (1 - kept) * y[i];
    missing *= kept;
    shown[i] = missing < 1 ? mean / (1 - missing) : y[i];
    previous = x[i];
  }
  return shown;
}

/** Return the middle one of the steps over so many points, of a sample of them; gaps do not count. */
function middleStep(y, n, stride) {
  const every = Math.max(1, Math.ceil((n - stride) / SAMPLE));
  const steps = [];
  for (let i = 0; i + stride < n; i += every) {
    const step = Math.abs(y[i + stride] - y[i]);
    if (step < Infinity) steps.push(step);
  }
  return Float64Array.from(steps).sort()[steps.length >> 1] ?? 0;
}

/** Return whether the first n values are noise, which smoothing helps to read; a schedule would only lag. */
export function isNoise(y, n) {
  const near = n > 2 * STRIDE ? middleStep(y, n, 1) : 0;
  return near > 0 ? STRIDE * near >= ROUGH * middleStep(y, n, STRIDE) : n > 2 * STRIDE && turns(y, n);
}

/** Return whether the first n values, of which most stay as they are, go up and down more often than in one way. */
function turns(y, n) {
  let [moves, turned, before] = [0, 0, 0];
  for (let i = 1; i < n; i += 1) {
    const way = Math.sign(y[i] - y[i - 1]);
    if (!way) continue;
    moves += 1;
    if (way === -before) turned += 1;
    before = way;
  }
  return moves > STRIDE && 2 * turned > moves;
}

/** Return where a value is much further from the curve before it than usual, near it and in the whole curve. */
export function spikes({ n, mean, shown, least, greatest }) {
  const floor = middleDistance({ shown, least, greatest }, n);
  let usual = Math.max(floor, middleDistance({ shown, least, greatest }, Math.min(n, 2 * STRIDE)));
  let level = NaN; // a spike moves it little, so that what follows is none
  const found = [];
  for (let i = 0; i < n; i += 1) {
    if (!Number.isFinite(mean[i])) continue;
    if (level !== level) level = shown[i];
    const [distance, most] = [Math.max(greatest[i] - level, level - least[i]), SPIKE * usual];
    if (distance > most) found.push(i);
    level += 0.1 * Math.max(-most, Math.min(most, mean[i] - level));
    usual = Math.max(floor, usual + 0.1 * (Math.min(distance, most) - usual));
  }
  return found;
}

/** Return how far least or greatest are from the smoothed curve: the middle one of a sample. */
function middleDistance({ shown, least, greatest }, n) {
  const some = [];
  for (let i = 0; i < n; i += Math.max(1, Math.ceil(n / SAMPLE))) {
    const distance = Math.max(greatest[i] - shown[i], shown[i] - least[i]);
    if (distance < Infinity) some.push(distance);
  }
  return Float64Array.from(some).sort()[some.length >> 1] ?? 0;
}
