// Which runs are shown: those that the filter lets through, that are not hidden, or that are picked alone.

import { matches } from "./filter.js";
import { change, settings, toggled, whenChanged } from "./settings.js";
import { store } from "./store.js";

export const focus = { key: null }; // the experiment that is highlighted, on all charts and in the table

export const isListed = (experiment) => !settings.filter || matches(settings.filter, experiment);
export const isPicked = ({ name }) => (settings.only ? settings.only.includes(name) : !settings.hide.includes(name));
export const isShown = (experiment) => isPicked(experiment) && isListed(experiment);
export const shownExperiments = () => store.experiments.filter(isShown);
export const shownCurves = (metric) => (store.metrics.get(metric) ?? []).filter(({ experiment }) => isShown(experiment));

export function toggle({ name }) {
  if (settings.only) return change({ only: toggled(settings.only, name) });
  return change({ hide: toggled(settings.hide, name) });
}

/** Show one experiment alone, or all again. */
export function solo({ name }) {
  const isAlone = settings.only?.length === 1 && settings.only[0] === name;
  change({ only: isAlone ? null : [name], hide: [] });
}

export const showAll = (all) => change({ only: all ? null : [], hide: [] });

const listeners = [];
export const whenFocused = (listener) => listeners.push(listener);

/** Highlight an experiment, or none; one that is not shown cannot be. */
export function highlight(key) {
  const found = store.experiments.find((one) => one.key === key && isShown(one))?.key ?? null;
  if (focus.key === found) return;
  focus.key = found;
  for (const listener of listeners) listener();
}

whenChanged(() => highlight(focus.key));
