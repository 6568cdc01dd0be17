// A chart as a file: its values as CSV, or its picture as PNG.

import { positions } from "./axis.js";
import { drawnCurves, labelOf, paint } from "./chart.js";
import { css, rampColour, scale } from "./colours.js";
import { fetchCurves } from "./server.js";
import { batchesAt, seriesOf } from "./series.js";
import { settings } from "./settings.js";
import { shownCurves } from "./shown.js";
import { isMany, partLabel, runOf } from "./store.js";
import { valueText } from "./text.js";

const [WIDTH, HEIGHT, RATIO, LINE] = [900, 420, 2, 20];
const AXES = { batches: "batches", epochs: "epochs", time: "time since the run began", clock: "time of day" };
const MOST = 40; // runs in the legend
const SAMPLE = 20; // pixels of a line in the legend

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Return the numbers of the intervals that touch the range that is shown. */
function shownRows({ series, experiment: { lead } }) {
  const rows = Array.from({ length: series.n }, (_, i) => i);
  if (!settings.zoom) return rows;
  const [from, to] = settings.zoom;
  const begins = positions(lead, rows.map((i) => batchesAt(series, i)[0]), series.n);
  return rows.filter((i) => series.x[i] >= from && begins[i] <= to);
}

/** Return the values of the curves that are shown, a line each: on any axis, and in a zoom those of its part. */
export function csvOf(metric) {
  const lines = ["run,part,of,batch,value,least,greatest"];
  for (const curve of shownCurves(metric)) {
    const series = seriesOf(curve);
    if (!series) continue;
    const start = [curve.experiment.name, partLabel(runOf(curve)), curve.of].map(quoted).join();
    const { step, mean, least, greatest } = series;
    for (const i of shownRows({ ...curve, series })) lines.push([start, step[i], mean[i], least[i], greatest[i]].join());
  }
  return `${lines.join("\r\n")}\r\n`;
}

export async function saveCsv(metric) {
  await fetchCurves(shownCurves(metric));
  offer(new Blob([csvOf(metric)], { type: "text/csv" }), `${metric}.csv`);
}

export async function savePng(metric) {
  await fetchCurves(shownCurves(metric));
  const canvas = document.createElement("canvas");
  const curves = drawnCurves(metric);
  const names = legendOf(curves);
  const perLine = 4;
  const lines = Math.ceil(names.length / perLine);
  const top = (36 + lines * LINE) * RATIO;
  const bottom = top + HEIGHT * RATIO;
  Object.assign(canvas, { width: WIDTH * RATIO, height: bottom + LINE * RATIO });
  const context = canvas.getContext("2d");
  context.fillStyle = css.card;
  context.fillRect(0, 0, canvas.width, canvas.height);
  drawLegend(context, metric, names, perLine);
  paint(context, metric, curves, { width: canvas.width, height: bottom - top, ratio: RATIO, thin: RATIO, top });
  Object.assign(context, { fillStyle: css.muted, textAlign: "right", textBaseline: "middle", font: `${12 * RATIO}px ${css.font}` });
  context.fillText(AXES[settings.x], (WIDTH - 12) * RATIO, bottom + (LINE / 2 - 2) * RATIO);
  canvas.toBlob((blob) => offer(blob, `${metric}.png`), "image/png");
}

/** Return what the legend tells: parts, or runs or what colours them, and the lines of their parts. */
function legendOf(curves) {
  const unique = (nameOf, what) => [...new Map(curves.map((curve) => [nameOf(curve), { name: nameOf(curve), ...what(curve) }])).values()];
  if (!isMany()) return unique(labelOf, ({ ink }) => ({ ink }));
  const by = scale();
  const lines = unique((curve) => partLabel(runOf(curve)), ({ dash }) => ({ ink: css.muted, dash }));
  const runs = by ? coloured(by) : unique(({ experiment }) => experiment.name, ({ ink }) => ({ ink }));
  const some = runs.length > MOST ? [...runs.slice(0, MOST - 1), { name: `and ${runs.length - MOST + 1} more`, ink: css.card }] : runs;
  return [...some, ...(lines.length > 1 || lines.some(({ dash }) => dash) ? lines : [])];
}

function coloured({ kinds, lo, hi, isLog }) {
  if (kinds) return kinds.map((name, i) => ({ name, ink: css.series[i % css.series.length] }));
  return [{ name: `${settings.colour} ${valueText(lo)} to ${valueText(hi)}${isLog ? " (log)" : ""}`, isRamp: true }];
}

function drawLegend(context, metric, names, perLine) {
  Object.assign(context, { fillStyle: css.ink, textBaseline: "middle", font: `600 ${15 * RATIO}px ${css.font}` });
  context.fillText(metric.slice(0, 100), 14 * RATIO, 18 * RATIO);
  context.font = `${12 * RATIO}px ${css.font}`;
  names.forEach(({ name, ink, dash, isRamp }, i) => {
    const [x, y] = [(14 + (i % perLine) * (WIDTH / perLine)) * RATIO, (42 + Math.floor(i / perLine) * LINE) * RATIO];
    const [width, height] = [(isRamp ? 60 : SAMPLE) * RATIO, (isRamp ? 10 : 2) * RATIO];
    for (let at = 0; at < width; at += RATIO) {
      context.fillStyle = isRamp ? rampColour(at / width) : ink;
      if (!dash || at % (8 * RATIO) < 5 * RATIO) context.fillRect(x + at, y - height / 2, RATIO, height);
    }
    context.fillStyle = css.ink;
    context.fillText(name.slice(0, 26), x + width + 6 * RATIO, y);
  });
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "chart";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
