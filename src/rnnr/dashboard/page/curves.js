// The curves that the page has, and how the server's octets are read.

import { store, whenDropped } from "./store.js";

const curves = new Map(); // "key.i" -> the columns of a curve
const details = new Map(); // "key.i" -> every value of a part of it
let stamp = 0;

export const curveOf = ({ key, i }) => curves.get(`${key}.${i}`);
export const detailOf = ({ key, i }) => details.get(`${key}.${i}`);
export const dropDetails = () => details.clear();

whenDropped((key) => {
  for (const map of [curves, details]) for (const id of [...map.keys()]) if (id.startsWith(`${key}.`)) map.delete(id);
});

/** Return whether the server has something of a curve that the page does not have. */
export function isStale({ key, i }) {
  return (curves.get(`${key}.${i}`)?.version ?? -1) < (store.runs.get(key)?.metrics.version[i] ?? -1);
}

/** Return how a curve is asked for: what there is of it already. */
export function wanted({ key, i }, whole = false) {
  const { rewritten, closed } = (!whole && curves.get(`${key}.${i}`)) || { rewritten: 0, closed: 0 };
  return `${key}.${i}.${rewritten}.${closed}`;
}

function read(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  for (const one of head.curves) {
    one.data = [];
    for (let column = 0; column < one.columns; column += 1, at += 8 * one.n)
      one.data.push(new Float64Array(buffer, at, one.n));
  }
  return head;
}

/** Take the curves of an answer in; return whether the answer was cut. */
export function takeCurves(buffer) {
  const head = read(buffer);
  for (const one of head.curves) if (store.runs.has(one.key)) write(one);
  return head.more;
}

export function takeDetails(buffer) {
  for (const { key, metric, part, data } of read(buffer).curves) {
    const [step, value] = data.map((column) => column.slice());
    stamp += 1;
    details.set(`${key}.${metric}`, { n: step.length, step, least: value, greatest: value, mean: value, part, stamp, width: 1 });
  }
}

function write({ key, metric, from, n, columns, rewritten, closed, width, version, bad, data }) {
  const id = `${key}.${metric}`;
  const old = curves.get(id);
  if (old && version < old.version) return; // an answer that was overtaken
  const curve = from > 0 && old ? old : { capacity: 0, n: 0 };
  const isOne = columns === 2 && (from === 0 || curve.isOne); // all three columns are the same
  reserve(curve, Math.max(from + n, 16), from, isOne);
  const [step, least, greatest = least, mean = least] = data;
  curve.step.set(step, from);
  curve.mean.set(mean, from);
  if (!isOne) curve.least.set(least, from), curve.greatest.set(greatest, from);
  if (!isOne) mend(curve, from, from + n);
  stamp += 1;
  Object.assign(curve, { n: from + n, isOne, rewritten, closed, width, version, stamp, bad: Float64Array.from(bad ?? []) });
  curves.set(id, curve);
}

/** Put a mean between the least and the greatest value where a sum of finite values was beyond the greatest number. */
function mend({ least, greatest, mean }, from, to) {
  for (let i = from; i < to; i += 1)
    if (!Number.isFinite(mean[i]) && Number.isFinite(least[i]) && Number.isFinite(greatest[i])) mean[i] = least[i] / 2 + greatest[i] / 2;
}

/** Make room for so many rows, of which the first ones are kept. */
function reserve(curve, n, kept, isOne) {
  if (n <= curve.capacity && isOne === curve.isOne) return;
  const capacity = Math.max(Math.ceil(n * 1.5), 64);
  const grown = (column) => {
    const room = new Float64Array(capacity);
    if (column) room.set(column.subarray(0, kept));
    return room;
  };
  const mean = grown(curve.mean);
  const [least, greatest] = isOne ? [mean, mean] : [grown(curve.least), grown(curve.greatest)];
  Object.assign(curve, { capacity, step: grown(curve.step), least, greatest, mean });
}
