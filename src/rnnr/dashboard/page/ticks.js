// Where the ticks of an axis are, and what is written there.

import { durationText } from "./text.js";

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Return a round step (1, 2 or 5 times a power of ten) with about so many ticks between two numbers. */
export function roundStep(lo, hi, count, least = 0) {
  const rough = hi / Math.max(1, count) - lo / Math.max(1, count); // the whole may be beyond the greatest number
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999 && one < Infinity) ?? rough;
  return Math.max(step, least);
}

function multiples(lo, hi, step) {
  const [first, last] = [Math.ceil(lo / step - 1e-9), Math.floor(hi / step + 1e-9)];
  if (!(last - first < 1000)) return [];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

export function linearTicks(lo, hi, count, least = 0) {
  const step = roundStep(lo, hi, count, least);
  return multiples(lo, hi, step).map((at) => ({ at: Math.abs(at) < step / 1e6 ? 0 : at, text: numberAt(at, step) }));
}

const FORMS = []; // for each number of digits: to make one takes longer than to draw a curve

function numberAt(at, step) {
  const size = Math.abs(at) < step / 1e6 ? 0 : Math.abs(at);
  if (size === 0) return "0";
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (size >= 1e7 || digits > 5) return powerText(at, Math.max(0, Math.floor(Math.log10(size)) + digits));
  return (FORMS[digits] ??= new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })).format(at);
}

const powerText = (at, digits) => at.toExponential(Math.min(digits, 6)).replace("e+", "e").replace(/\.?0+e/, "e");

/** Return the ticks of a logarithmic axis: at 1, 2 and 5, at 1 and 3, or at 1 of each power, as there is room. */
export function logTicks(lo, hi, count) {
  const [first, last] = [Math.floor(Math.log10(lo)), Math.ceil(Math.log10(hi))];
  const powers = Math.log10(hi) - Math.log10(lo);
  const factors = powers * 2.5 <= count + 1 ? [1, 2, 5] : powers * 1.5 <= count + 1 ? [1, 3] : [1];
  const stride = Math.max(1, Math.ceil(powers / Math.max(2, count)));
  const ticks = [];
  for (let power = first; power <= last; power += 1)
    for (const factor of power % stride ? [] : factors) {
      const at = Number(`${factor}e${power}`);
      if (at >= lo * 0.999 && at <= hi * 1.001) ticks.push({ at, text: logText(at, power) });
    }
  return ticks.length > 1 ? ticks : linearTicks(lo, hi, count).filter(({ at }) => at > 0);
}

const logText = (at, power) => (power < -3 || power > 5 ? powerText(at, 0) : at.toLocaleString("en", { maximumFractionDigits: 3 }));

function secondsStep(lo, hi, count) {
  const rough = (hi - lo) / Math.max(1, count);
  return SECONDS.find((step) => step >= rough * 0.9) ?? 86400 * roundStep(0, rough * count / 86400, count, 1);
}

/** Return the ticks of seconds since the beginning. */
export function timeTicks(lo, hi, count) {
  if (hi - lo < 1) return linearTicks(lo, hi, count).map(({ at, text }) => ({ at, text: `${text} s` }));
  const short = (at) => durationText(at).replace(/^(\d+)\.0 s$/, "$1 s").replace(/ 0 (s|min|h)$/, "");
  return multiples(lo, hi, secondsStep(lo, hi, count)).map((at) => ({ at, text: at === 0 ? "0" : short(at) }));
}

/** Return the ticks of the time of day, in the zone of the browser. */
export function clockTicks(lo, hi, count) {
  const step = secondsStep(lo, hi, count);
  const offset = new Date(lo * 1000).getTimezoneOffset() * 60;
  const day = hi - lo > 86400 ? { month: "short", day: "numeric" } : {}; // else an hour would be of any of them
  const form = step >= 86400 ? day : { ...day, hour: "2-digit", minute: "2-digit" };
  if (step < 60) form.second = "2-digit";
  const text = (at) => new Date(at * 1000).toLocaleString("en-GB", form);
  return multiples(lo - offset, hi - offset, step).map((at) => ({ at: at + offset, text: text(at + offset) }));
}
