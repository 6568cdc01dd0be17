// The buttons, and the status line.

import { byId, grouped, setText } from "./text.js";
import { isUnderWay } from "./runs.js";

const focus = { lost: null, moved: null }; // the button that lost the focus, and the one that has it instead
let latestText = null;

export function statusText({ control_status: asked, live, runs }) {
  const outer = runs.filter((run) => !run.inside);
  const run = outer.find(isUnderWay) ?? outer[0] ?? runs[0];
  if (!run || run.status === "waiting") return "waiting for the run to begin";
  if (!live) return runs.some((run) => run.status === "reading") ? "reading" : "recorded";
  if (!isUnderWay(run)) return `${run.name} ${run.status}`;
  if (asked === "paused") return `paused after batch ${grouped(run.n_iters ?? 0)}`;
  if (asked === "pausing") return "pausing after this batch";
  if (asked === "stopping") return "stopping after this batch; press Stop again to stop at once";
  return "running";
}

export function showStatus(text) {
  if (text !== latestText) setText(byId("status"), text); // so the message of a button stays until the status changes
  latestText = text;
}

export function showControls({ control, live, control_status: asked, runs }, reachable) {
  byId("controls").hidden = !(control && live);
  const running = reachable && runs.some(isUnderWay);
  const paused = running && ["pausing", "paused"].includes(asked);
  const enabled = { pause: running && asked === "none", step: paused, resume: running && asked !== "none", stop: running };
  const focused = document.activeElement?.id;
  for (const [id, on] of Object.entries(enabled)) byId(id).disabled = !on;
  keepFocus(enabled, focused);
}

/** Move the keyboard focus from a disabled button to another one, and back when the button is enabled again. */
function keepFocus(enabled, focused) {
  const back = focused === focus.moved && enabled[focus.lost];
  if (!back && enabled[focused] !== false) return;
  const next = back ? focus.lost : ["resume", "pause", "stop"].find((id) => enabled[id]);
  [focus.lost, focus.moved] = [back ? null : focused, next];
  if (next) byId(next).focus();
}

async function order({ dataset, textContent }, ask) {
  const response = await fetch(`control/${dataset.order}`, { method: "POST" }).catch(() => null);
  if (response?.status === 403) setText(byId("status"), "this dashboard cannot control the run");
  else if (!response?.ok) setText(byId("status"), `"${textContent}" did not reach the run`);
  ask(); // show the effect at once
}

export function connectButtons(ask) {
  for (const button of byId("controls").children) button.addEventListener("click", () => order(button, ask));
}
