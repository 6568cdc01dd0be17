// The page of the dashboard: it asks the server for updates, and shows them.

import { arrange, curvesInView, redraw, spent, when } from "./charts.js";
import { forgetScale } from "./colours.js";
import { connectButtons, showControls, showLost, showStatus, statusText } from "./control.js";
import { isStale, takeCurves } from "./curves.js";
import { awaitEnd } from "./end.js";
import { connectEnlarged, drawEnlarged, enlargedCurves } from "./enlarge.js";
import { showFailures } from "./failure.js";
import { connectLegend } from "./legend.js";
import { showRuns } from "./runs.js";
import { showHandlers, showLines } from "./records.js";
import { fetchCurves, fetchData, fetchLast } from "./server.js";
import { whenChanged } from "./settings.js";
import { shownCurves } from "./shown.js";
import { store, take } from "./store.js";
import { connectTable } from "./table.js";
import { byId } from "./text.js";
import { connectTheme } from "./theme.js";
import { showTitle } from "./title.js";
import { connectToolbar } from "./toolbar.js";
import { connectTools } from "./tools.js";
import { askSoon, connectZoom, showZoom } from "./zoom.js";
import { points } from "./points.js";

const SHARE = 4; // times its own drawing time, the page waits until it asks again

const page = { cursor: null, asking: false, timer: null, fetching: false, missing: false, isNew: false, changed: new Set() };

function show(answer) {
  const begun = performance.now();
  const changed = new Set(answer.runs.map(({ key }) => key));
  const isNew = take(answer) || page.isNew;
  page.isNew = false;
  byId("handlers").hidden = byId("log-part").hidden = !store.answer.live;
  if (isNew) forgetScale();
  if (isNew || changed.size || store.isLost) (store.isLost = false), showRuns();
  showFailures([...store.runs.values()]);
  showControls(store.answer, true);
  showStatus(statusText(store.answer));
  showTitle();
  if (answer.handlers) showHandlers(answer.handlers);
  if (answer.events) showLines("events", answer.events);
  if (answer.log) showLines("log", answer.log);
  if (isNew) arrange();
  for (const key of changed) page.changed.add(key);
  if (isNew) redraw();
  else if (changed.size && !curvesInView().some(isStale)) redrawChanged(); // else when the curves are there
  spent.milliseconds += performance.now() - begun;
}

/** Draw the charts again that have a curve of a run that has changed, or one that was asked for. */
function redrawChanged(asked = new Set()) {
  redraw(({ metric }) => shownCurves(metric).some(({ key, i }) => page.changed.has(key) || asked.has(`${key}.${i}`)));
  page.changed.clear();
}

/** Ask for the curves in view that have changed, and draw them as they come. */
async function fetchInView() {
  page.missing = true;
  if (page.fetching || document.hidden) return;
  page.fetching = true;
  try {
    while (page.missing) {
      page.missing = false;
      const curves = [...new Set([...curvesInView(), ...enlargedCurves()])].filter(isStale);
      if (!curves.length) break;
      const asked = new Set(curves.map(({ key, i }) => `${key}.${i}`));
      await fetchCurves(curves, () => {
        redrawChanged(asked);
        drawEnlarged();
        showZoom();
        askSoon();
      });
    }
  } finally {
    page.fetching = false;
  }
}

async function ask() {
  clearTimeout(page.timer);
  if (page.asking || document.hidden) return;
  page.asking = true;
  let again = 2;
  awaitEnd(hearLast, showLast); // first, since a script may end as soon as it is shown
  try {
    spent.milliseconds = 0;
    const answer = await fetchData(page.cursor);
    if (answer === null) return lose();
    [page.cursor, again] = [answer.cursor, answer.again ?? again];
    show(answer);
    await fetchInView();
  } finally {
    page.asking = false;
    page.timer = setTimeout(ask, Math.max(again * 1000, SHARE * spent.milliseconds));
  }
}

/** Show that nobody answers. */
function lose() {
  if (!store.isLost) (store.isLost = true), showRuns();
  showLost();
}

/** Get what is missing of live runs when their process ends, also of charts that were never in view. */
async function hearLast(answer, areOthers) {
  page.isNew = take(answer) || page.isNew; // `showLast` takes the same answer again
  const live = [...store.metrics.values()].flat().filter(({ key }) => store.runs.get(key).live !== false);
  return fetchLast(live, areOthers);
}

function showLast(answer, curves) {
  const was = store.answer?.live;
  show({ ...answer, live: answer.live ?? was });
  if (curves) takeCurves(curves);
  redraw();
  drawEnlarged();
}

function settle(names) {
  forgetScale();
  showRuns();
  if (names.some((name) => ["q", "fold", "open"].includes(name))) arrange();
  redraw();
  fetchInView();
}

const repaint = () => (forgetScale(), showRuns(), redraw(), drawEnlarged());

window.rnnr = { points };
connectTheme(repaint);
connectToolbar();
connectTools();
connectTable();
connectLegend();
connectEnlarged();
connectZoom();
connectButtons(ask);
whenChanged(settle);
when("seen", fetchInView);
document.addEventListener("visibilitychange", ask);
ask();
