// Smoothing: a running mean that forgets, as TensorBoard's, but by distance and not by number of points.
//
// TensorBoard keeps a share w of the mean at each point, so the same w means something else once a curve is
// thinned. Here w is the share kept over a thousandth of the range; with a thousand even points they are the same.

const STRIDE = 8;
const ROUGH = 1.5; // a curve whose path is not longer than so many times that of every 8th point is not noise

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
  const path = (stride) => {
    let [sum, previous] = [0, NaN];
    for (let i = 0; i < n; i = i + stride < n || i === n - 1 ? i + stride : n - 1) {
      const d = Math.abs(y[i] - previous);
      if (d === d) sum += d; // not at a gap
      if (Number.isFinite(y[i])) previous = y[i];
    }
    return sum;
  };
  return n > 2 * STRIDE && path(1) >= ROUGH * path(STRIDE) && path(1) > 0;
}
