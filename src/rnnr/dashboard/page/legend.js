// What colours and dashes mean, and by which entry of the configuration runs are coloured.

import { colourOf, rampColour, scale, css } from "./colours.js";
import { change, settings } from "./settings.js";
import { differing, isMany, partLabel, partLabels, store } from "./store.js";
import { byId, element, valueText } from "./text.js";

let made = "";

function line(label, ink, isDashed) {
  const sample = element("span", { className: isDashed ? "line dashed" : "line", ariaHidden: "true" });
  sample.style.color = ink;
  return element("li", {}, sample, element("bdi", {}, label));
}

/** Show the parts: a hue each if there is one experiment, else a dash each. */
export function showLegend() {
  const labels = partLabels();
  const lead = (label) => store.experiments[0].parts.findIndex((run) => partLabel(run) === label);
  const now = JSON.stringify([isMany(), labels, css.series, settings.colour, scale()]);
  if (now === made) return;
  made = now;
  const inks = labels.map((label) => (isMany() ? css.muted : colourOf(store.experiments[0], lead(label))));
  byId("legend").replaceChildren(...labels.map((label, i) => line(label, inks[i], isMany() && i > 0)));
  showEntries();
  showScale(scale());
}

function showEntries() {
  const select = byId("colour");
  const names = ["", ...differing()];
  if (settings.colour && !names.includes(settings.colour)) names.push(settings.colour);
  select.replaceChildren(...names.map((name) => element("option", { value: name, selected: name === settings.colour }, name || "each run")));
  select.value = settings.colour;
}

function showScale(by) {
  byId("scale").hidden = !by;
  if (!by) return byId("scale").replaceChildren();
  if (by.kinds) {
    const n = css.series.length;
    const kinds = by.kinds.slice(0, n).map((kind, i) => line(kind, css.series[i], false));
    if (by.kinds.length > n) kinds.push(element("li", {}, `and ${by.kinds.length - n} more, in the same colours`));
    return byId("scale").replaceChildren(element("ul", { className: "legend" }, ...kinds));
  }
  const bar = element("span", { className: "ramp" });
  bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(rampColour).join()})`;
  byId("scale").replaceChildren(element("bdi", {}, settings.colour), ` ${valueText(by.lo)} `, bar, ` ${valueText(by.hi)}${by.isLog ? " (log)" : ""}`);
}

export function connectLegend() {
  byId("colour").addEventListener("change", ({ target }) => change({ colour: target.value }));
}
