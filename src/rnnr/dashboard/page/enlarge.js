// One chart, large, in a dialog.

import { draw, forget, makeChart } from "./chart.js";
import { spent } from "./charts.js";
import { cursor, drawAll, extra, moveCursor } from "./cursor.js";
import { whenChanged } from "./settings.js";
import { shownCurves } from "./shown.js";
import { byId } from "./text.js";

let chart = null;
const makers = []; // what connects a new chart with mouse and tools
export const whenEnlarged = (listener) => makers.push(listener);

export const enlargedCurves = () => (chart ? shownCurves(chart.metric) : []);

export function enlarge(metric) {
  if (chart) return;
  chart = makeChart(metric, drawEnlarged);
  chart.isEnlarged = true;
  for (const maker of makers) maker(chart);
  byId("enlarged").querySelector(".place").replaceChildren(chart.root);
  byId("enlarged").setAttribute("aria-label", `${metric}, enlarged`);
  extra.push(chart);
  moveCursor(null, null);
  byId("enlarged").showModal();
  chart.plot.focus();
}

export function drawEnlarged() {
  if (!chart) return;
  const begun = performance.now();
  draw(chart);
  spent.milliseconds += performance.now() - begun;
  if (cursor.x !== null) drawAll();
}

function leave() {
  if (!chart) return;
  moveCursor(null, null);
  document.body.append(byId("values"));
  byId("values").hidden = true;
  extra.length = 0;
  forget(chart);
  chart.root.remove();
  chart = null;
}

export function connectEnlarged() {
  byId("enlarged").addEventListener("close", leave);
  byId("enlarged").addEventListener("click", ({ target }) => target === byId("enlarged") && byId("enlarged").close());
  byId("leave").addEventListener("click", () => byId("enlarged").close());
  whenChanged(() => requestAnimationFrame(drawEnlarged));
}
