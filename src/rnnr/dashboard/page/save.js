// A chart as a file: its values as CSV, or its picture as PNG.

import { drawnCurves, labelOf, paint } from "./chart.js";
import { css } from "./colours.js";
import { fetchCurves } from "./server.js";
import { shownCurves } from "./shown.js";
import { partLabel, runOf } from "./store.js";

const [WIDTH, HEIGHT, RATIO, LINE] = [900, 420, 2, 20];
const MOST = 40; // names in the legend

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Return the values of the curves that are shown, a line each. */
export function csvOf(metric) {
  const lines = ["run,part,batch,value"];
  for (const { experiment, series, key } of drawnCurves(metric)) {
    const start = [experiment.name, partLabel(runOf({ key }))].map(quoted).join();
    for (let i = 0; i < series.n; i += 1) lines.push(`${start},${series.step[i]},${series.mean[i]}`);
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
  const names = [...new Map(curves.map((curve) => [labelOf(curve), curve])).entries()];
  const perLine = 4;
  const lines = Math.ceil(Math.min(names.length, MOST) / perLine);
  const top = (36 + lines * LINE) * RATIO;
  Object.assign(canvas, { width: WIDTH * RATIO, height: top + HEIGHT * RATIO });
  const context = canvas.getContext("2d");
  context.fillStyle = css.card;
  context.fillRect(0, 0, canvas.width, canvas.height);
  drawLegend(context, metric, names, perLine);
  paint(context, metric, curves, { width: canvas.width, height: canvas.height - top, ratio: RATIO, thin: RATIO, top });
  canvas.toBlob((blob) => offer(blob, `${metric}.png`), "image/png");
}

function drawLegend(context, metric, names, perLine) {
  Object.assign(context, { fillStyle: css.ink, textBaseline: "middle", font: `600 ${15 * RATIO}px ${css.font}` });
  context.fillText(metric.slice(0, 100), 14 * RATIO, 18 * RATIO);
  context.font = `${12 * RATIO}px ${css.font}`;
  names.slice(0, MOST).forEach(([name, { ink }], i) => {
    const [x, y] = [(14 + (i % perLine) * (WIDTH / perLine)) * RATIO, (42 + Math.floor(i / perLine) * LINE) * RATIO];
    context.fillStyle = ink;
    context.fillRect(x, y - RATIO, 16 * RATIO, 2 * RATIO);
    context.fillStyle = css.ink;
    context.fillText(i === MOST - 1 && names.length > MOST ? `and ${names.length - MOST + 1} more` : name.slice(0, 28), x + 22 * RATIO, y);
  });
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "chart";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
