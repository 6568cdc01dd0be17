// The buttons, and the line that tells what came of them.

import { byId, grouped, setText } from "./text.js";
import { isUnderWay } from "./runs.js";

const focus = { left: null, lent: null };
let said = null;

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

export function say(text) {
  if (text !== said) setText(byId("status"), text); // so what a button said stays until the run has news
  said = text;
}

export function showControls({ control, live, control_status: asked, runs }, reachable) {
  byId("controls").hidden = !(control && live);
  const running = reachable && runs.some(isUnderWay);
  const held = running && ["pausing", "paused"].includes(asked);
  const wanted = { pause: running && asked === "none", step: held, resume: running && asked !== "none", stop: running };
  const focused = document.activeElement?.id;
  for (const [id, on] of Object.entries(wanted)) byId(id).disabled = !on;
  keepFocus(wanted, focused);
}

/** Whoever presses by keyboard must not lose their place: lend it to another button until theirs is of use again. */
function keepFocus(wanted, focused) {
  const back = focused === focus.lent && wanted[focus.left];
  if (!back && wanted[focused] !== false) return;
  const next = back ? focus.left : ["resume", "pause", "stop"].find((id) => wanted[id]);
  [focus.left, focus.lent] = [back ? null : focused, next];
  if (next) byId(next).focus();
}

async function order({ dataset, textContent }, ask) {
  const response = await fetch(`control/${dataset.order}`, { method: "POST" }).catch(() => null);
  if (response?.status === 403) setText(byId("status"), "this dashboard gives no control");
  else if (!response?.ok) setText(byId("status"), `"${textContent}" did not reach the run`);
  ask(); // whoever pressed wants to see what came of it
}

export function connectButtons(ask) {
  for (const button of byId("controls").children) button.addEventListener("click", () => order(button, ask));
}
