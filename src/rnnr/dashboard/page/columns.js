// The columns of the table of runs, and how its rows are sorted.

import { settings } from "./settings.js";
import { differing, entry, store } from "./store.js";
import { durationText, grouped, numberText, valueText } from "./text.js";

const UP = /(?<!\p{L})(acc|accuracy|f1|auc|auroc|map|ap|bleu|rouge(l|lsum)?|rewards?|returns?|scores?|precision|recall|iou|dice|psnr|ssim|r2)(?!\p{L})/iu; // whole words
const MANY = 6; // metrics with a column of their own, if all columns are shown

export const isUpward = (metric) => UP.test(metric);

/** Return the value of a metric for an experiment: of its last part that has it, and of epochs before batches. */
function valueOf({ parts }, metric, which) {
  for (const { metrics } of [...parts].reverse()) {
    const at = metrics.names.map((name, i) => (name === metric ? i : -1)).filter((i) => i >= 0);
    const i = at.find((one) => metrics.of[one] === "epoch") ?? at[0];
    if (i !== undefined) return asNumber(metrics[which][i]);
  }
  return undefined;
}

const WORDS = { NaN, Infinity, "-Infinity": -Infinity };
const asNumber = (value) => (typeof value === "string" ? WORDS[value] : value);

/** Return the two metrics that tell most of a run: one that grows as it gets better, and the loss. */
function mainMetrics() {
  const names = [...store.metrics.keys()].filter((name) => !name.startsWith("system/"));
  const first = names.find(isUpward) ?? names.find((name) => /loss/i.test(name)) ?? names[0];
  const second = names.find((name) => /loss/i.test(name)) ?? names.find((name) => name !== first);
  return { first, second, rest: names.filter((name) => name !== first && name !== second && !name.includes("/")) };
}

export function sorting() {
  const [id, direction] = settings.sort ? settings.sort.split(" ~") : [];
  const { first } = mainMetrics();
  if (id) return { id, isDown: direction === "down" };
  return first === undefined ? { id: "", isDown: false } : { id: `best:${first}`, isDown: isUpward(first) };
}

function bestColumn(metric) {
  const id = `best:${metric}`;
  const { id: sorted, isDown } = sorting();
  const isUp = sorted === id ? isDown : isUpward(metric); // a press turns what is the best
  const value = (experiment) => valueOf(experiment, metric, isUp ? "greatest" : "least");
  return { id, label: metric, sub: "best", isNumber: true, isUp, value, text: (experiment) => shown(value(experiment)) };
}

function lastColumn(metric) {
  const value = (experiment) => valueOf(experiment, metric, "last");
  return { id: `last:${metric}`, label: metric, sub: "last", isNumber: true, isUp: isUpward(metric), value, text: (experiment) => shown(value(experiment)) };
}

const shown = (value) => (value === undefined ? "" : Number.isNaN(value) ? "NaN" : numberText(value === Infinity ? "Infinity" : value === -Infinity ? "-Infinity" : value));

function configColumn(name) {
  const value = ({ lead }) => entry(lead, name);
  const isNumber = store.experiments.every((one) => ["number", "undefined"].includes(typeof value(one)));
  return { id: `config:${name}`, label: name, isNumber, isConfig: true, value, text: (one) => (value(one) === undefined ? "" : valueText(value(one))) };
}

const NAME = { id: "name", label: "Run", value: ({ name }) => name };
const BATCH = { id: "batch", label: "Batch", isNumber: true, value: ({ lead }) => lead.n_iters ?? 0, text: ({ lead }) => grouped(lead.n_iters ?? 0) };
const TIME = { id: "time", label: "Time", isNumber: true, value: ({ lead }) => lead.seconds ?? undefined, text: ({ lead }) => (lead.seconds === null ? "" : durationText(lead.seconds)) };

/** Return the columns beside the name: few, or all. */
export function columns() {
  const { first, second, rest } = mainMetrics();
  const metrics = [first === undefined ? [] : bestColumn(first), second === undefined ? [] : lastColumn(second)].flat();
  if (settings.columns === "all") return [...metrics, ...rest.slice(0, MANY).map(lastColumn), BATCH, TIME, ...differing().map(configColumn)];
  const named = differing().filter((name) => isNamed(name)).map(configColumn);
  const others = [...rest.map(lastColumn), BATCH, TIME].filter(({ id }) => id === sorting().id);
  return [...metrics, ...others, ...named];
}

const isNamed = (name) => settings.colour === name || settings.sort.startsWith(`config:${name} ~`) || settings.filter.split(/\s+/).some((word) => /^[<>=!]/.test(word.slice(name.length)) && word.startsWith(name));

/** Return experiments in the order of the table; what is not a number comes last. */
export function sorted(experiments, all) {
  const { id, isDown } = sorting();
  const column = [NAME, ...all].find((one) => one.id === id);
  if (!column) return experiments;
  const none = (value) => value === undefined || value === null || Number.isNaN(value);
  const keyed = experiments.map((experiment) => ({ experiment, value: column.value(experiment) }));
  keyed.sort((a, b) => none(a.value) - none(b.value) || (none(a.value) ? 0 : (isDown ? -1 : 1) * compare(a.value, b.value)));
  return keyed.map(({ experiment }) => experiment);
}

function compare(a, b) {
  if (typeof a === typeof b && typeof a !== "string") return a < b ? -1 : a > b ? 1 : 0;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Return the best value of a column of a metric. */
export function bestOf(column, experiments) {
  if (column.isUp === undefined) return undefined;
  const values = experiments.map(column.value).filter(Number.isFinite);
  return values.length > 1 ? (column.isUp ? Math.max : Math.min)(...values) : undefined;
}
