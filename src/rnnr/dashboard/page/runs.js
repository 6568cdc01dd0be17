// The runs at the top or at the left: a strip for one experiment, a table for several.

import { showLegend } from "./legend.js";
import { showStrip } from "./strip.js";
import { isMany, store } from "./store.js";
import { showTable } from "./table.js";
import { byId } from "./text.js";

export function showRuns() {
  const many = isMany();
  document.body.classList.toggle("several", many);
  if (!many) document.body.classList.remove("wide");
  byId("table").hidden = !many;
  byId("strip").hidden = many;
  if (many) showTable();
  else if (store.experiments.length) showStrip(byId("strip"), store.experiments[0]);
  if (store.experiments.length) showLegend();
}
