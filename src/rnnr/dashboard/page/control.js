// The buttons, and the status line.

import { isOver, isUnderWay } from "./facts.js";
import { postOrder } from "./server.js";
import { store } from "./store.js";
import { byId, grouped, setText } from "./text.js";
import { showTitle } from "./title.js";

const focus = { lost: null, moved: null }; // the button that lost the focus, and the one that has it instead
let latestText = null;
let seen = "none"; // the status that the page showed when Stop was pressed

const COUNTED = ["running", "paused", "stopping", "reading", "waiting", "finished", "stopped", "failed", "silent"];

function counts(experiments) {
  const all = experiments.map(({ lead }) => lead.status);
  const some = COUNTED.map((status) => [all.filter((one) => one === status).length, status]);
  return some.filter(([n]) => n).map(([n, status]) => `${n} ${status === "silent" ? "no end recorded" : status}`).join(" · ");
}

export function statusText({ control_status: asked, live, searching }) {
  const { experiments } = store;
  const runs = experiments.map(({ lead }) => lead);
  const run = runs.find((one) => one.live !== false && isUnderWay(one)) ?? runs.find(isUnderWay) ?? runs[0];
  if (!run) return searching?.length ? `no recording yet in ${searching.join(", ")}` : "waiting for the run to begin";
  if (live && isUnderWay(run)) {
    if (asked === "paused") return `paused after batch ${grouped(run.n_iters ?? 0)}`;
    if (asked === "pausing") return "pausing after this batch";
    if (asked === "stopping") return "stopping after this batch; press Stop again to stop at once";
  }
  if (experiments.length > 1) return counts(experiments);
  if (run.status === "waiting") return "waiting for the run to begin";
  if (!live) return run.status === "reading" ? "reading" : "recorded";
  return isUnderWay(run) ? "running" : `${run.name} ${run.status}`;
}

export function showStatus(text) {
  if (text !== latestText) setText(byId("status"), text); // so the message of a button stays until the status changes
  latestText = text;
}

const areAllOver = () => store.experiments.length > 0 && store.experiments.every(({ lead }) => isOver(lead));

export function showLost() {
  const ended = store.answer && areAllOver();
  const [its, whose] = store.answer?.live ? ["its", "the run's"] : ["the dashboard's", "the dashboard's"];
  showStatus(ended ? `${statusText(store.answer)}; ${its} process has ended` : `${whose} process has ended or cannot be reached, asking again…`);
  showTitle(!ended);
  if (store.answer) showControls(store.answer, false);
}

export function showControls({ control, live, control_status: asked }, reachable) {
  byId("controls").hidden = !(control && live);
  const running = reachable && [...store.runs.values()].some((run) => run.live !== false && isUnderWay(run));
  const paused = running && ["pausing", "paused"].includes(asked);
  const enabled = { pause: running && asked === "none", step: paused, resume: running && asked !== "none", stop: running };
  const focused = document.activeElement?.id;
  for (const [id, on] of Object.entries(enabled)) byId(id).disabled = !on;
  keepFocus(enabled, focused);
  if (!running && byId("stopping").open) byId("stopping").close();
}

/** Move the keyboard focus from a disabled button to another one, and back when the button is enabled again. */
function keepFocus(enabled, focused) {
  const back = focused === focus.moved && enabled[focus.lost];
  if (!back && enabled[focused] !== false) return;
  const next = back ? focus.lost : ["resume", "pause", "stop"].find((id) => enabled[id]);
  [focus.lost, focus.moved] = [back ? null : focused, next];
  if (next) byId(next).focus();
}

async function send(order, label, ask) {
  const response = await postOrder(order);
  if (response?.status === 403) setText(byId("status"), "this dashboard cannot control the run");
  else if (!response?.ok) setText(byId("status"), `"${label}" did not reach the run`);
  ask(); // show the effect at once
}

/** Ask before a run is stopped; a second time stops it inside its batch. */
function askToStop() {
  seen = store.answer?.control_status ?? "none";
  const atOnce = seen === "stopping";
  setText(byId("stop-question"), atOnce ? "Stop at once, inside the batch?" : "Stop the run after this batch?");
  setText(byId("stop-effect"), atOnce
    ? "The rest of this batch is lost."
    : "All callbacks of the batch run, so nothing is lost: resume() goes on with the next batch.");
  byId("stopping").showModal();
}

export function connectButtons(ask) {
  for (const button of document.querySelectorAll("#controls [data-order]"))
    button.addEventListener("click", () => send(button.dataset.order, button.textContent, ask));
  byId("stop").addEventListener("click", askToStop);
  byId("keep").addEventListener("click", () => byId("stopping").close());
  byId("really-stop").addEventListener("click", () => {
    byId("stopping").close();
    send(`stop?seen=${encodeURIComponent(seen)}`, "Stop", ask);
  });
}
