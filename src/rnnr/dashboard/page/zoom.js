// Zooming into a part of the axis, in all charts, with every value of that part where there are so many.

import { placeText, stepAt } from "./axis.js";
import { curvesInView, redraw, when } from "./charts.js";
import { curveOf, detailOf, dropDetails, takeDetails } from "./curves.js";
import { inRange, seriesOf } from "./series.js";
import { fetchDetails } from "./server.js";
import { change, settings, whenChanged } from "./settings.js";
import { runOf } from "./store.js";
import { byId, grouped, setText } from "./text.js";

const AGAIN = 2_000; // milliseconds after which the page asks again when it got no answer

let timer = null;
let asked = ""; // what the details are of

/** Show a part of the axis in all charts, or the whole of it again. */
export function zoomTo(zoom) {
  const short = (x) => (settings.x === "batches" ? Math.round(x * 10) / 10 : Number(x.toPrecision(12)));
  change({ zoom: zoom && zoom.map(short) });
}

function place() {
  const [from, to] = settings.zoom;
  if (settings.x !== "batches") return `${placeText(from)} to ${placeText(to)}`;
  return `batches ${grouped(Math.round(from))} to ${grouped(Math.round(to))}`;
}

/** Return how many batches a point of a curve stands for, in the part that is shown. */
function widthOf(curve) {
  const columns = curveOf(curve);
  const series = columns && !columns.isOne && !detailOf(curve) && seriesOf(curve);
  if (!series) return 1;
  const [from, to] = inRange(series);
  const gap = to - from > 1 ? (series.step[to - 1] - series.step[from]) / (to - from - 1) : 1;
  return Math.max(series.width, Math.round(gap)); // a live run may be told in larger steps
}

/** Return whether a curve has a part in the zoom; a run of another day has none on the clock. */
function isInside(curve) {
  const { step = [], n = 0 } = curveOf(curve) ?? {};
  const [from, to] = settings.zoom.map((x) => stepAt(curve.experiment.lead, x));
  return from <= step[n - 1] && to >= step[0];
}

/** Say what is zoomed into, and how fine it can be seen. */
export function showZoom() {
  byId("zoom").hidden = !settings.zoom;
  if (!settings.zoom) return;
  const widest = Math.max(1, ...curvesInView().filter((curve) => curve.of === "batch" && isInside(curve)).map(widthOf));
  setText(byId("zoomed"), place() + (widest > 1 ? ` · no finer than ${grouped(widest)} batches` : ""));
}

/** Ask for every value of the curves in view, once the zoom and the view rest. */
export function askSoon(milliseconds = 150) {
  clearTimeout(timer);
  if (settings.zoom) timer = setTimeout(ask, milliseconds);
}

/** Return what names the details of a curve: they change when a part grows that reaches to its end, or a run is set back. */
function nameOf(curve, to) {
  const { step, n, version, rewritten } = curveOf(curve);
  return `${curve.key}.${curve.i} ${rewritten}${step[n - 1] <= to ? ` ${version}` : ""}`;
}

async function ask() {
  const isCoarse = (curve) => !runOf(curve).live && !(curveOf(curve)?.isOne ?? true);
  const curves = settings.zoom ? curvesInView().filter((curve) => isCoarse(curve) && isInside(curve)) : [];
  const steps = curves.flatMap(({ experiment: { lead } }) => settings.zoom.map((x) => stepAt(lead, x))).filter(Number.isFinite);
  const [from, to] = [Math.max(0, Math.floor(Math.min(...steps)) - 1), Math.ceil(Math.max(...steps)) + 1];
  const what = `${from} ${to} ${curves.map((curve) => nameOf(curve, to)).join()}`;
  if (!curves.length || !steps.length || what === asked) return showZoom();
  asked = what;
  const answers = await fetchDetails(curves, from, to);
  if (asked !== what) return; // there is another zoom
  if (!answers) return (asked = ""), askSoon(AGAIN);
  dropDetails();
  answers.forEach(takeDetails);
  redraw();
  showZoom();
}

export function connectZoom() {
  byId("whole").addEventListener("click", () => zoomTo(null));
  whenChanged((names) => {
    if (!names.includes("zoom")) return;
    asked = "";
    dropDetails();
    showZoom();
    askSoon();
  });
  when("seen", () => askSoon());
  showZoom();
  askSoon();
}
