// The filter of runs: words in the name or the status, and comparisons with the configuration.

import { entry } from "./store.js";

const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/;
const ORDERS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

/** Return whether an experiment has every word, and meets every comparison, of a filter. */
export function matches(filter, experiment) {
  return filter.trim().split(/\s+/).every((word) => meets(word, experiment));
}

function meets(word, { name, lead, parts }) {
  const [, key, sign, value] = COMPARISON.exec(word) ?? [];
  const own = key === undefined ? undefined : entry(lead, key);
  if (own !== undefined) return compares(own, sign, value);
  if (key !== undefined && sign !== "=") return false;
  const text = `${name} ${parts.map((run) => run.status).join(" ")}`.toLowerCase();
  return text.includes(word.toLowerCase());
}

function compares(own, sign, value) {
  const number = value === "" ? NaN : Number(value);
  const isNumber = typeof own === "number" && !Number.isNaN(number);
  if (sign === "=") return isNumber ? own === number : String(own).toLowerCase() === value.toLowerCase();
  if (sign === "!=") return isNumber ? own !== number : String(own).toLowerCase() !== value.toLowerCase();
  return isNumber ? ORDERS[sign](own, number) : typeof own === "string" && ORDERS[sign](own, value);
}
