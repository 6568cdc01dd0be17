// The colours of runs: a hue for each experiment, or for each part if there is one experiment, or by a configuration entry.

import { entry, isMany, partLabel, partLabels, store } from "./store.js";
import { settings } from "./settings.js";

const HUES = 12; // number of --series-… in dashboard.css
const WIDE = 20; // a ramp of numbers is logarithmic if they span more
const RAMPS = {
  light: [[68, 1, 84], [49, 104, 142], [31, 138, 120], [120, 160, 20], [190, 120, 0]],
  dark: [[150, 110, 230], [80, 150, 220], [50, 190, 160], [150, 215, 80], [250, 230, 60]],
};

export const css = {}; // the colours of the style sheet, which depend on whether the page is light or dark

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const [name, property] of Object.entries({ muted: "--muted", line: "--line", card: "--card", ink: "--ink", bad: "--bad", font: "--sans", edge: "--edge", accent: "--accent" }))
    css[name] = style.getPropertyValue(property).trim();
  css.series = Array.from({ length: HUES }, (_, i) => style.getPropertyValue(`--series-${i}`).trim());
  css.isDark = style.getPropertyValue("--dark").trim() === "1";
}

/** Return how a configuration entry is turned into colours, or null if each run has its own. */
export function scale() {
  if (!settings.colour || !isMany()) return null;
  const values = store.experiments.map(({ lead }) => entry(lead, settings.colour));
  const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (new Set(numbers).size > 2 && numbers.length >= values.length / 2) {
    const [lo, hi] = [Math.min(...numbers), Math.max(...numbers)];
    return { lo, hi, isLog: lo > 0 && hi / lo > WIDE };
  }
  return { kinds: [...new Set(values.filter((value) => value !== undefined).map(String))] };
}

export function rampColour(part) {
  const stops = RAMPS[css.isDark ? "dark" : "light"];
  const at = Math.min(1, Math.max(0, part)) * (stops.length - 1);
  const [low, share] = [Math.min(Math.floor(at), stops.length - 2), at - Math.min(Math.floor(at), stops.length - 2)];
  return `rgb(${stops[low].map((from, i) => Math.round(from + share * (stops[low + 1][i] - from))).join()})`;
}

function scaled(value, by) {
  if (by.kinds) return value === undefined ? css.muted : css.series[by.kinds.indexOf(String(value)) % HUES];
  if (typeof value !== "number" || !Number.isFinite(value)) return css.muted;
  const f = by.isLog ? Math.log : (number) => number;
  return rampColour(by.hi > by.lo ? (f(value) - f(by.lo)) / (f(by.hi) - f(by.lo)) : 0);
}

let current = null; // the scale while the runs and the settings stay as they are
export const forgetScale = () => (current = null);

export function colourOf(experiment, part = 0) {
  if (!isMany()) return css.series[partIndex(experiment.parts[part]) % HUES];
  current ??= { by: scale() };
  return current.by ? scaled(entry(experiment.lead, settings.colour), current.by) : css.series[experiment.index % HUES];
}

export const partIndex = (run) => (run ? Math.max(0, partLabels().indexOf(partLabel(run))) : 0);
