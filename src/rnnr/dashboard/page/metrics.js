// The latest and the extreme values of the metrics of a run, which the server has told without their curves.

/** Return the last part of an experiment that has a metric, and the place of it there: of epochs before batches. */
function find({ parts }, metric) {
  for (let part = parts.length - 1; part >= 0; part -= 1) {
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

/** Return the value of a metric for an experiment: of its last part that has it, and of epochs before batches. */
export function valueOf(experiment, metric, which) {
  const found = find(experiment, metric);
  return found ? asNumber(found.run.metrics[which][found.i]) : undefined;
}

const WORDS = { NaN, Infinity, "-Infinity": -Infinity };
const asNumber = (value) => (typeof value === "string" ? WORDS[value] : value);
