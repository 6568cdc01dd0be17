// The title of the window, which tells how far the runs are.

import { isUnderWay, percentText } from "./facts.js";
import { store } from "./store.js";

/** Show how far the runs are, or that nobody answers any more. */
export function showTitle(isLost = false) {
  const { experiments } = store;
  const running = experiments.filter(({ lead }) => isUnderWay(lead));
  document.title = [...(isLost ? lost(experiments) : gist(experiments, running)), "rnnr"].join(" · ");
}

const lost = (experiments) => ["no answer", ...(experiments.length > 1 ? [`${experiments.length} runs`] : experiments.map(({ name }) => name))].filter(Boolean);

function gist(experiments, running) {
  if (!experiments.length) return [];
  if (experiments.length > 1) return [running.length ? `${running.length} of ${experiments.length} running` : `${experiments.length} runs`];
  const { lead } = experiments[0];
  return [isUnderWay(lead) ? percentText(lead) : lead.status === "finished" ? "" : lead.status, lead.name].filter(Boolean);
}
