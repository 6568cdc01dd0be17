// The title of the window, which tells how far the runs are.

import { isUnderWay, percentText } from "./facts.js";
import { store } from "./store.js";

export function showTitle() {
  const { experiments } = store;
  const running = experiments.filter(({ lead }) => isUnderWay(lead));
  document.title = [...gist(experiments, running), "rnnr"].join(" · ");
}

function gist(experiments, running) {
  if (!experiments.length) return [];
  if (experiments.length > 1) return [running.length ? `${running.length} of ${experiments.length} running` : `${experiments.length} runs`];
  const { lead } = experiments[0];
  return [isUnderWay(lead) ? percentText(lead) : lead.status === "finished" ? "" : lead.status, lead.name].filter(Boolean);
}
