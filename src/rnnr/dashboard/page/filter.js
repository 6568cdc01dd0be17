// The filter of runs: words of the name, the status or the configuration, and comparisons with the configuration or a metric.

import { statusOf } from "./facts.js";
import { bestOfMetric, toldOf, valueOf } from "./metrics.js";
import { searcher } from "./pattern.js";
import { settings } from "./settings.js";
import { configNames, entry, partLabels, store } from "./store.js";
import { valueText } from "./text.js";

const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/;
const UNFINISHED = /^.*(<=|>=|[<>=!])$/;
const ORDERS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };
const SILENT = /\bno end( recorded)?\b/gi;
const BLANK = "\u00a0"; // a blank inside a word

const last = { filter: null, words: [] };

/** Return the words of a filter; blanks in the head of a column and around an operator belong to their word. */
function wordsOf(filter) {
  if (last.filter !== filter) Object.assign(last, { filter, words: split(filter) });
  return last.words;
}

function split(filter) {
  const operators = filter.replace(SILENT, "silent").replace(/\s*(<=|>=|!=|[=<>])(?:\s+(?!!|[^\s<>=!]+\s*[<>=!]))?/g, "$1"); // another comparison may follow an unfinished one
  const heads = operators.replace(/\s*·\s*/g, "·").replace(/\s+(best|last)(?=[<>=!])/g, `${BLANK}$1`);
  return heads.trim().split(/[^\S\u00a0]+/).filter(Boolean);
}

const isUnfinished = (word) => UNFINISHED.test(word);

/** Return whether an experiment has every word, and meets every comparison, of a filter. */
export const matches = (filter, experiment) => wordsOf(filter).every((word) => isUnfinished(word) || meets(word, experiment));

function meets(word, experiment) {
  if (word.startsWith("!")) return !meets(word.slice(1), experiment);
  const [, key, sign, value] = COMPARISON.exec(word) ?? [];
  if (key === undefined) return isFound(word, experiment);
  const { entries, metric } = meaning(key);
  const own = entries.length === 1 ? entry(experiment.lead, entries[0]) : metric && valueOf(experiment, metric.name, metric.which, metric.part);
  if (own !== undefined) return compares(own, sign, value);
  return sign === "=" && isFound(word, experiment); // the name of a file may have it
}

const known = { answer: null, sort: "", meanings: new Map() };

/** Return what a name in a comparison means: an entry of that name, a metric, or the entries of which it is the last part. */
function meaning(key) {
  if (known.answer !== store.answer || known.sort !== settings.sort) Object.assign(known, { answer: store.answer, sort: settings.sort, meanings: new Map() });
  if (!known.meanings.has(key)) known.meanings.set(key, newMeaning(key));
  return known.meanings.get(key);
}

function newMeaning(key) {
  const names = configNames();
  if (names.has(key)) return { entries: [key] };
  const metric = metricOf(key);
  return metric ? { entries: [], metric } : { entries: [...names].filter((name) => name.endsWith(`.${key}`)) };
}

/** Return the metric, the part and the value that the head of a column names: "loss · validation best", or "loss.validation". */
function metricOf(key) {
  if (store.metrics.has(key)) return { name: key, which: toldOf(key) };
  const [, head, sub] = /^(.*?)(?:\u00a0(best|last))?$/s.exec(key);
  const at = Math.max(head.lastIndexOf("·"), head.lastIndexOf(".")); // a keyboard may have no "·"
  const [name, part] = at > 0 && !store.metrics.has(head) ? [head.slice(0, at), head.slice(at + 1)] : [head];
  if (!store.metrics.has(name) || (part !== undefined && !partLabels().includes(part))) return null;
  return { name, part, which: { best: bestOfMetric(name), last: "last" }[sub] ?? toldOf(name) };
}

function isFound(word, { name, lead, parts }) {
  if (word.toLowerCase() === "nan") return parts.some(({ metrics }) => metrics.not_finite?.some(Boolean));
  const isIn = searcher(word);
  if (isIn(name) || name.includes(word) || isIn(lead.status) || (lead.status === "silent" && isIn(statusOf(lead)))) return true;
  const isWhole = searcher(`^(?:${word})$`); // a part would find "a" in "adam"
  return Object.values(lead.config ?? {}).map(valueText).some((text) => text === word || isWhole(text));
}

/** Return the entries of the configuration that a filter compares. */
export const namedEntries = (filter) => comparisonsOf(filter).flatMap(([, key]) => meaning(key).entries);

const comparisonsOf = (filter) => wordsOf(filter).map((word) => COMPARISON.exec(word.replace(/^!/, ""))).filter(Boolean);

/** Return why a filter does not select as it is written: an unfinished comparison, names that mean nothing, or several things. */
export function faultsOf(filter) {
  const faults = wordsOf(filter).filter(isUnfinished).map((word) => `"${word}" is incomplete`);
  for (const [word, key] of comparisonsOf(filter)) {
    const { entries, metric } = meaning(key);
    const told = key.replaceAll(BLANK, " ");
    if (!metric && !entries.length && !store.experiments.some((one) => isFound(word, one))) faults.push(`no entry or metric named "${told}"`);
    if (entries.length > 1) faults.push(`"${told}" may be ${entries.slice(0, 4).join(" or ")}${entries.length > 4 ? " or …" : ""}`);
  }
  return faults;
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
