// The page of the dashboard: it asks the server for updates, and shows them.

import { connectButtons, showControls, showStatus, statusText } from "./control.js";
import { points, removeCharts, repaint, replotAll, showCharts } from "./charts.js";
import { isOver, removeRuns, showFailures, showRuns } from "./runs.js";
import { showHandlers, showLines } from "./tables.js";
import { byId } from "./text.js";

const LOST = "the run's process has ended or cannot be reached, asking again…";

const page = { cursor: null, asking: false, timer: null, answer: null, awaitingEnd: false };

function show(answer) {
  if (page.answer?.runs.some((old) => answer.runs.every((run) => run.name !== old.name))) startOver();
  page.answer = answer;
  byId("handlers").hidden = byId("log").parentNode.hidden = !answer.live;
  if (answer.runs.length) showRuns(answer.runs);
  showFailures(answer.runs);
  showControls(answer, true);
  showStatus(statusText(answer));
  showCharts(answer.runs);
  if (answer.handlers !== undefined) showHandlers(answer.handlers);
  if (answer.events) showLines(byId("events"), answer.events);
  if (answer.log) showLines(byId("log"), answer.log);
}

/** Remove the runs of a process that has ended: another process answers on its address. */
function startOver() {
  removeCharts();
  removeRuns();
  for (const id of ["events", "log"]) byId(id).replaceChildren();
  showHandlers(null);
}

async function fetchAnswer() {
  const query = page.cursor === null ? "" : `?cursor=${encodeURIComponent(page.cursor)}`;
  try {
    const response = await fetch(`data${query}`, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function ask() {
  clearTimeout(page.timer);
  if (page.asking || document.hidden) return;
  page.asking = true;
  let again = 2;
  try {
    const answer = await fetchAnswer();
    if (answer === null) return showLost();
    [page.cursor, again] = [answer.cursor, answer.again ?? again];
    show(answer);
    awaitEnd();
  } finally {
    page.asking = false;
    page.timer = setTimeout(ask, again * 1000);
  }
}

/** Ask the server for the final state: the process of a script is gone before the next request. */
async function awaitEnd() {
  if (page.awaitingEnd) return;
  page.awaitingEnd = true;
  try {
    const response = await fetch("end", { cache: "no-store" });
    if (response.ok) show(await response.json());
  } catch {
    // it was killed, or cannot be reached: the next request will show
  } finally {
    page.awaitingEnd = false;
  }
}

function showLost() {
  const ended = page.answer?.runs.length && page.answer.runs.every(isOver);
  showStatus(ended ? `${statusText(page.answer)}; its process has ended` : LOST);
  if (page.answer) showControls(page.answer, false);
}

Bokeh.logger.set_level("error"); // else it logs to the console how long each chart took
window.rnnr = { points };
byId("log-scale").addEventListener("change", replotAll);
connectButtons(ask);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
document.addEventListener("visibilitychange", ask);
ask();
