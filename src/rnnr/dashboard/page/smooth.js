// Smoothing: a running mean that forgets, as TensorBoard's, but by distance and not by number of points.
//
// TensorBoard keeps a share w of the mean at each point, so the same w means something else once a curve is
// thinned. Here w is the share kept over a thousandth of the range; with a thousand even points they are the same.

const STRIDE = 8;
const ROUGH = 1.5; // a path over eight points that is so many times as long as the straight way is rough
const SPIKE = 6; // times the usual distance from the smoothed curve
const SAMPLE = 200; // places at which a curve is looked at: each has one vote, so neither a spike nor a divergence decides

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

/** Return whether the first n values are noise, which smoothing helps to read; a schedule would only lag. */
export function isNoise(y, n) {
  if (n <= 2 * STRIDE) return false;
  let [rough, straight] = [0, 0];
  for (let i = 0; i + STRIDE < n; i += Math.max(1, Math.ceil((n - STRIDE) / SAMPLE))) {
    let path = 0;
    for (let j = i; j < i + STRIDE; j += 1) path += Math.abs(y[j + 1] - y[j]);
    if (!(path > 0 && path < Infinity)) continue; // it rests, or has a gap
    if (path >= ROUGH * Math.abs(y[i + STRIDE] - y[i])) rough += 1;
    else straight += 1;
  }
  return rough > straight;
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
