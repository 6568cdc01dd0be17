// The columns of the table of runs, and how its rows are sorted.

import { namedEntries } from "./filter.js";
import { bestOfMetric, directionOf, isUpward, mainMetrics, partOf, sorting, valueOf } from "./metrics.js";
import { settings } from "./settings.js";
import { differing, entry, partLabel, store } from "./store.js";
import { durationText, grouped, numberText, valueText } from "./text.js";

const MANY = 6; // metrics with a column of their own, if all columns are shown

/** Return the label of the part whose values a column has: "validation", or "" for the training or several parts. */
function partText(metric) {
  const parts = store.experiments.map((experiment) => [experiment, partOf(experiment, metric)]).filter(([, run]) => run);
  const labels = new Set(parts.map(([{ lead }, run]) => (run === lead ? "" : partLabel(run))));
  return labels.size === 1 ? [...labels][0] : "";
}

function metricColumn(metric, sub, which, isUp) {
  const part = partText(metric);
  const value = (experiment) => valueOf(experiment, metric, which);
  const what = { least: "the least value", greatest: "the greatest value", last: "the latest value" }[which];
  const title = `${what} of ${metric}${part && ` of ${part}`}${which === "last" ? "" : " in the whole run"}; press to sort, and again to turn the order`;
  return { id: `${sub}:${metric}`, label: metric, sub: part ? `·\u00a0${part} ${sub}` : sub, title, isNumber: true, isUp, value, text: (experiment) => shown(value(experiment)) };
}

function bestColumn(metric) {
  const isUp = directionOf(metric, `best:${metric}`);
  return metricColumn(metric, "best", bestOfMetric(metric), isUp === undefined ? undefined : bestOfMetric(metric) === "greatest");
}

const lastColumn = (metric) => metricColumn(metric, "last", "last", directionOf(metric, `last:${metric}`));

const shown = (value) => (value === undefined ? "" : Number.isNaN(value) ? "NaN" : numberText(value === Infinity ? "Infinity" : value === -Infinity ? "-Infinity" : value));

function configColumn(name) {
  const value = ({ lead }) => entry(lead, name);
  const isNumber = store.experiments.every((one) => ["number", "undefined"].includes(typeof value(one)));
  const label = store.metrics.has(name) ? `${name} (config)` : name;
  return { id: `config:${name}`, label, isNumber, isConfig: true, value, text: (one) => (value(one) === undefined ? "" : valueText(value(one))) };
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
  const [colouring, further] = [true, false].map((is) => named.filter(({ id }) => (id === `config:${settings.colour}`) === is));
  return [...colouring, ...metrics, ...others, ...further]; // beside the name it is never cut
}

const isNamed = (name) => settings.colour === name || settings.sort.startsWith(`config:${name} ~`) || namedEntries(settings.filter).includes(name);

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
