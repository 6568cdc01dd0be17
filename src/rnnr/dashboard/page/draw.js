// Drawing on a canvas, in device pixels: axes, lines, dots and marks.
//
// A line is one device pixel wide: without a GPU a wider one costs eight times as much. In each column of pixels the
// least and the greatest value are drawn, so a spike of one batch in a hundred thousand is seen.

import { inRange, spikesOf } from "./series.js";

const BAND = 0.24; // how much of its colour a band has
const APART = 8; // pixels from which a value is told apart from its curve
const MANY = 150; // from so many epochs on only the line is drawn: dots would hide it

/** Return what turns values into pixels; the plot is a box on the canvas. */
export function scalesOf({ left, top, width, height, lo, hi, y, isLog }) {
  const [bottom, across] = [top + height, width / (hi - lo)];
  const [f, low, high] = isLog ? [Math.log10, Math.log10(y.lo), Math.log10(y.hi)] : [(v) => v, y.lo, y.hi];
  const up = height / (high / 2 - low / 2); // halves, since the whole may be beyond the greatest number
  const toY = (value) => Math.min(bottom + height, Math.max(top - height, bottom - (f(value) / 2 - low / 2) * up));
  return { toX: (x) => left + (x - lo) * across, toY: isLog ? (value) => (value > 0 ? toY(value) : NaN) : toY };
}

/** Add a curve to the path, column of pixels by column: how it enters, its least and greatest value, how it leaves. */
export function trace(path, { x, from, to }, [least, greatest, mean], { toX, toY }) {
  let [column, isOpen, n] = [NaN, false, 0];
  let [enter, leave, top, bottom, at] = [0, 0, 0, 0, 0];
  const close = () => {
    if (!n) return;
    const to = (y) => (isOpen ? path.lineTo(at, y) : path.moveTo(at, y), (isOpen = true));
    to(enter);
    if (top !== bottom) to(top), to(bottom), to(leave);
    n = 0;
  };
  for (let i = from; i < to; i += 1) {
    const y = toY(mean[i]);
    if (y !== y || x[i] !== x[i]) {
      close();
      isOpen = false;
      column = NaN;
      continue;
    }
    const px = toX(x[i]);
    const [high, low] = least === greatest ? [y, y] : [toY(greatest[i]), toY(least[i])];
    if (Math.floor(px) !== column) {
      close();
      [column, enter, top, bottom, at] = [Math.floor(px), y, high, low === low ? low : y, px];
    } else {
      top = Math.min(top, high);
      bottom = Math.max(bottom, low === low ? low : y);
    }
    leave = y;
    n += 1;
  }
  close();
}

/** Return the indexes that get a dot: all, or those between two gaps, which no line reaches. */
function dotted({ mean, n, from, to }, all) {
  const dots = [];
  const isThere = (i) => i >= 0 && i < n && Number.isFinite(mean[i]);
  for (let i = from; i < to; i += 1)
    if (isThere(i) && (all || !(isThere(i - 1) || isThere(i + 1)))) dots.push(i);
  return dots;
}

export function drawSeries(context, series, scales, { ink, dash, isEpoch, hasBand, hasMarks, hasDots, isStrong, ratio, thin = 1, box }) {
  const [from, to] = inRange(series);
  const part = { ...series, from, to };
  Object.assign(context, { strokeStyle: ink, fillStyle: ink, lineJoin: "bevel", globalAlpha: 1 });
  if (hasBand) {
    context.setLineDash([]);
    const coarse = isCoarse(part, scales);
    if (coarse) fillBand(context, part, scales);
    const raw = coarse ? [series.mean, series.mean, series.mean] : [series.least, series.greatest, series.mean];
    stroke(context, part, raw, scales, { alpha: coarse ? 2 * BAND : BAND, width: 1 });
  }
  const columns = series.isSmoothed || hasBand ? [series.shown, series.shown, series.shown] : [series.least, series.greatest, series.mean];
  context.setLineDash(dash ? [5 * ratio, 3 * ratio] : []);
  stroke(context, part, columns, scales, { alpha: 1, width: isStrong || (isEpoch && hasDots) ? 2 * ratio : series.isSmoothed && hasMarks ? 1.5 * ratio : thin });
  context.setLineDash([]);
  const radius = 2.5 * ratio;
  for (const i of dotted({ ...part, mean: series.shown }, isEpoch && hasDots && to - from <= MANY)) dot(context, scales.toX(series.x[i]), scales.toY(series.shown[i]), radius);
  if (series.isSmoothed && !hasBand) drawSpikes(context, series, part, scales, box, ratio);
  marks(context, part, scales, box, ratio, hasMarks);
}

/** Draw a dot where a value is far from the smoothed curve, or a mark at the edge if it is clipped. */
function drawSpikes(context, series, { from, to }, { toX, toY }, { top, bottom, y }, ratio) {
  const { at, values } = spikesOf(series);
  at.forEach((i, j) => {
    if (i < from || i >= to) return;
    const [px, py] = [toX(series.x[i]), toY(values[j])];
    if (y.above !== null && values[j] > y.hi) context.fillRect(px - ratio, top, 2 * ratio, 4 * ratio);
    else if (y.below !== null && values[j] < y.lo) context.fillRect(px - ratio, bottom - 4 * ratio, 2 * ratio, 4 * ratio);
    else if (Math.abs(py - toY(series.shown[i])) > APART * ratio) dot(context, px, py, 2 * ratio);
  });
}

/** Return whether intervals of several values are wider than a pixel or so. */
function isCoarse({ x, from, to, least, greatest }, { toX }) {
  return least !== greatest && to - from > 1 && toX(x[to - 1]) - toX(x[from]) > 1.5 * (to - from);
}

/** Fill the band between the least and the greatest values, interval by interval. */
function fillBand(context, { x, from, to, least, greatest }, { toX, toY }) {
  context.globalAlpha = BAND;
  for (let i = from + 1; i < to; i += 1) {
    const [left, top, bottom] = [toX(x[i - 1]), toY(greatest[i]), toY(least[i])];
    if (top === top && bottom === bottom) context.fillRect(left, top, toX(x[i]) - left, Math.max(1, bottom - top));
  }
  context.globalAlpha = 1;
}

function stroke(context, part, columns, scales, { alpha, width }) {
  context.globalAlpha = alpha;
  context.lineWidth = width;
  context.beginPath();
  trace(context, part, columns, scales);
  context.stroke();
  context.globalAlpha = 1;
}

export function dot(context, x, y, radius) {
  if (!(x === x && y === y)) return;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Mark what a line cannot show: values beyond the range at the edge, and below those that are not finite, most where they begin. */
function marks(context, { x, mean, least, greatest, from, to, bad: among }, { toX }, { top, bottom, y, bad }, ratio, hasMarks) {
  const ink = context.fillStyle;
  for (let i = from; i < to; i += 1) {
    if (hasMarks && greatest[i] > y.hi && y.above !== null) context.fillRect(toX(x[i]) - ratio, top, 2 * ratio, 4 * ratio);
    if (hasMarks && least[i] < y.lo && y.below !== null) context.fillRect(toX(x[i]) - ratio, bottom - 4 * ratio, 2 * ratio, 4 * ratio);
    if (Number.isFinite(mean[i])) continue;
    const px = toX(x[i]);
    const isFirst = i === 0 || Number.isFinite(mean[i - 1]);
    context.fillStyle = bad;
    if (isFirst) context.fillRect(px - 4 * ratio, bottom - 8 * ratio, 8 * ratio, 8 * ratio);
    else context.fillRect(px - ratio, bottom - 2 * ratio, 2 * ratio, 2 * ratio);
    context.fillStyle = ink;
    if (isFirst) context.fillRect(px - 2 * ratio, bottom - 6 * ratio, 4 * ratio, 4 * ratio);
  }
  context.fillStyle = bad;
  for (const at of among) context.fillRect(toX(at) - ratio, bottom - 3 * ratio, 2 * ratio, 3 * ratio); // beside finite ones in an interval
  context.fillStyle = ink;
}

/** Draw the lines and the texts of both axes. */
export function drawAxes(context, { left, top, width, height, ratio, css }, scales, xTicks, yTicks, above, below) {
  const bottom = top + height;
  Object.assign(context, { font: `${12 * ratio}px ${css.font}`, fillStyle: css.muted, strokeStyle: css.line, lineWidth: Math.max(1, Math.round(ratio)) });
  context.setLineDash([]);
  context.beginPath();
  for (const { at } of yTicks) {
    const y = Math.round(scales.toY(at)) + 0.5;
    context.moveTo(left, y);
    context.lineTo(left + width, y);
  }
  context.stroke();
  Object.assign(context, { textAlign: "right", textBaseline: "middle" });
  for (const { at, text } of yTicks) context.fillText(text, left - 6 * ratio, scales.toY(at));
  Object.assign(context, { textAlign: "center", textBaseline: "top" });
  let free = -Infinity; // where the last text ends
  for (const { at, text } of xTicks) {
    const half = context.measureText(text).width / 2;
    const x = Math.min(scales.toX(at), left + width + 10 * ratio - half);
    if (x - half < free) continue;
    context.fillText(text, x, bottom + 7 * ratio);
    free = x + half + 10 * ratio;
  }
  Object.assign(context, { textAlign: "left" });
  if (above) context.fillText(above, left + 8 * ratio, top + 7 * ratio);
  if (below) context.fillText(below, left + 8 * ratio, bottom - 18 * ratio);
}
