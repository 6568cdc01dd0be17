// The filter of runs: words of the name or the status, and comparisons with the configuration or the last values.

import { valueOf } from "./metrics.js";
import { searcher } from "./pattern.js";
import { statusOf } from "./facts.js";
import { entry, store } from "./store.js";
import { valueText } from "./text.js";

const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/;
const ORDERS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };
const SILENT = /\bno end( recorded)?\b/gi;

const last = { filter: null, words: [] };

/** Return the words of a filter; blanks around an operator belong to its word. */
export function wordsOf(filter) {
  if (last.filter !== filter) Object.assign(last, { filter, words: split(filter) });
  return last.words;
}

function split(filter) {
  const joined = filter.replace(SILENT, "silent").replace(/\s*(<=|>=|!=|[=<>])\s*/g, "$1");
  return joined.trim().split(/\s+/).filter(Boolean);
}

/** Return whether an experiment has every word, and meets every comparison, of a filter. */
export const matches = (filter, experiment) => wordsOf(filter).every((word) => meets(word, experiment));

function meets(word, experiment) {
  if (word.length > 1 && word.startsWith("!")) return !meets(word.slice(1), experiment);
  const [, key, sign, value] = COMPARISON.exec(word) ?? [];
  if (key === undefined) return isFound(word, experiment);
  const configured = entry(experiment.lead, key);
  const own = configured === undefined ? valueOf(experiment, key, "last") : configured;
  if (own !== undefined) return compares(own, sign, value);
  return sign === "=" && isFound(word, experiment); // the name of a file may have it
}

function isFound(word, { name, lead, parts }) {
  if (word.toLowerCase() === "nan") return parts.some(({ metrics }) => metrics.not_finite?.some(Boolean));
  const isIn = searcher(word);
  return isIn(name) || name.includes(word) || isIn(lead.status) || (lead.status === "silent" && isIn(statusOf(lead)));
}

/** Return the names in comparisons that no run has, neither as an entry nor as a metric. */
export function unknownNames(filter) {
  const names = wordsOf(filter).map((word) => COMPARISON.exec(word.replace(/^!(?=.)/, ""))?.[1]).filter(Boolean);
  return names.filter((name) => !store.metrics.has(name) && store.experiments.every(({ lead }) => entry(lead, name) === undefined));
}

/** Return a number, also one that is too large to travel as one; NaN for what is not a number. */
const amountOf = (own) => (typeof own === "string" && own.trim() ? Number(own) : typeof own === "number" ? own : NaN);

function compares(own, sign, value) {
  const number = value === "" ? NaN : Number(value);
  const isNumber = typeof own === "number" && !Number.isNaN(number);
  if (sign === "=") return isNumber ? own === number : valueText(own).toLowerCase() === value.toLowerCase();
  if (sign === "!=") return isNumber ? own !== number : valueText(own).toLowerCase() !== value.toLowerCase();
  if (!Number.isNaN(number)) return ORDERS[sign](amountOf(own), number);
  return typeof own === "string" && ORDERS[sign](own, value);
}
