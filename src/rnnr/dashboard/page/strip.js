// One experiment: how far its runs are, and its configuration.

import { colourOf } from "./colours.js";
import { facts, fractionOf, percentText, shownStatus, statusOf } from "./facts.js";
import { element, setText, valueText } from "./text.js";

const cards = new Map(); // key of a run -> its card and the parts of it that change

function makeCard(run) {
  const span = (className) => element("span", { className });
  const card = { mark: span("mark"), name: element("bdi", {}), status: span("badge"), percent: span("percent") };
  card.mark.ariaHidden = "true";
  card.bar = element("progress", { max: 1, ariaLabel: `progress of ${run.name}` });
  card.facts = element("p", { className: "facts" });
  card.config = element("dl", { className: "config", ariaLabel: "Configuration" });
  const heading = element("div", { className: "heading" }, element("h2", {}, card.mark, card.name), card.status, card.facts, card.percent);
  card.root = element("article", {}, heading, card.bar, card.config);
  card.root.dataset.run = run.name;
  cards.set(run.key, card);
  return card;
}

function fillCard(card, run, experiment, part) {
  const fraction = fractionOf(run);
  card.root.className = part ? "run inside" : "run";
  card.status.className = `badge ${shownStatus(run)}`;
  card.bar.className = shownStatus(run);
  card.mark.style.background = colourOf(experiment, part);
  setText(card.name, run.name);
  setText(card.status, statusOf(run));
  setText(card.percent, percentText(run));
  if (fraction === null) card.bar.removeAttribute("value");
  else card.bar.value = fraction;
  fillConfig(card.config, run.config ?? {});
  const parts = facts(run);
  if (parts.join(" · ") === card.facts.textContent) return;
  card.bar.setAttribute("aria-valuetext", [card.percent.textContent, ...parts].join(" "));
  card.facts.replaceChildren(...parts.flatMap((fact, i) => [...(i ? [" · "] : []), element("span", {}, fact)]));
}

function fillConfig(list, config) {
  const made = JSON.stringify(config);
  if (list.dataset.made === made) return; // new nodes would lose the reader's selection
  list.dataset.made = made;
  list.hidden = !Object.keys(config).length;
  list.replaceChildren(...Object.entries(config).map(([name, value]) =>
    element("div", {}, element("dt", {}, element("bdi", {}, name)), element("dd", {}, element("bdi", {}, valueText(value))))));
}

/** Show an experiment in a place: a line for its training, one for each evaluation. */
export function showStrip(place, experiment) {
  const { parts } = experiment;
  for (const key of [...cards.keys()]) if (!experiment.keys.includes(key)) cards.delete(key);
  parts.forEach((run, part) => fillCard(cards.get(run.key) ?? makeCard(run), run, experiment, part));
  const roots = parts.map(({ key }) => cards.get(key).root);
  if (place.children.length !== roots.length || roots.some((root, i) => place.children[i] !== root)) place.replaceChildren(...roots);
}
