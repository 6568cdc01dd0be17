// The metrics of runs: which tells most, what is better, and their latest and extreme values, without their curves.

import { settings } from "./settings.js";
import { partLabel, store } from "./store.js";

const UP = /(?<!\p{L})(acc|accuracy|f1|auc|auroc|map|ap|bleu|rouge(l|lsum)?|rewards?|returns?|scores?|precision|recall|iou|dice|psnr|ssim|r2)(?!\p{L})/iu; // whole words
const DOWN = /(^|[^a-z])(err|error|mse|mae|rmse|nll|ppl|perplexity|cer|wer|fid|regret|cost)($|[^a-z])|loss/i;

export const isUpward = (metric) => UP.test(metric);

let main = { of: null }; // what `mainMetrics` has found, which each column asks for

/** Return the two metrics that tell most of a run: one that grows as it gets better, and the loss. */
export function mainMetrics() {
  if (main.of !== store.metrics) main = { of: store.metrics, ...findMainMetrics() };
  return main;
}

function findMainMetrics() {
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

/** Return whether more of a metric is better, or undefined if neither its name nor the user's sorting tells. */
export function directionOf(metric, id) {
  if (isUpward(metric) || DOWN.test(metric)) return isUpward(metric);
  return settings.sort.startsWith(`${id} ~`) ? sorting().isDown : undefined;
}

/** Return which value is the best of a metric; a press on its heading turns what is the best. */
export function bestOfMetric(metric) {
  const { id, isDown } = sorting();
  return (id === `best:${metric}` ? isDown : isUpward(metric)) ? "greatest" : "least";
}

/** Return which value of a metric the table has. */
export const toldOf = (metric) => (metric === mainMetrics().first ? bestOfMetric(metric) : "last");

/** Return the last part of an experiment, or the one of a label, that has a metric, and the place of it there: of epochs before batches. */
function find({ parts }, metric, label) {
  for (let part = parts.length - 1; part >= 0; part -= 1) {
    if (label !== undefined && partLabel(parts[part]) !== label) continue;
    const { names, of } = parts[part].metrics;
    const first = names.indexOf(metric);
    if (first < 0) continue;
    const second = names.indexOf(metric, first + 1);
    return { run: parts[part], i: of[first] !== "epoch" && of[second] === "epoch" ? second : first };
  }
  return null;
}

/** Return the part of an experiment whose value of a metric is told. */
export const partOf = (experiment, metric) => find(experiment, metric)?.run;

/** Return the value of a metric for an experiment: of its last part that has it, or that of a label. */
export function valueOf(experiment, metric, which, label) {
  const found = find(experiment, metric, label);
  return found ? asNumber(found.run.metrics[which][found.i]) : undefined;
}

const WORDS = { NaN, Infinity, "-Infinity": -Infinity };
const asNumber = (value) => (typeof value === "string" ? WORDS[value] : value);
