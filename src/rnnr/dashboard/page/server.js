// Requests to the server of the page; paths are relative, so the token stays where it is.

import { isStale, takeCurves, wanted } from "./curves.js";
import { own } from "./end.js";

const AT_ONCE = 300; // curves in one request, whose address must not grow too long

async function get(path, milliseconds = 10_000) {
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(milliseconds) });
    return response.ok ? response : null;
  } catch {
    return null;
  }
}

/** Return what has changed since a cursor, or null if the server does not answer. */
export async function fetchData(cursor) {
  const response = await get(cursor === null ? "data" : `data?cursor=${encodeURIComponent(cursor)}`);
  return response?.json().catch(() => null) ?? null;
}

/** Bring curves up to date, and call `came` after each answer. */
export async function fetchCurves(curves, came = () => {}) {
  const left = curves.filter(isStale);
  let previous = Infinity;
  while (left.length) {
    const some = left.splice(0, AT_ONCE);
    const response = await get(`curves?want=${some.map((curve) => wanted(curve)).join()}`);
    const buffer = await response?.arrayBuffer().catch(() => null);
    if (!buffer) return;
    const isCut = takeCurves(buffer);
    came();
    const again = isCut ? some.filter(isStale) : [];
    if (again.length < previous || again.length < some.length) left.unshift(...again);
    previous = again.length;
  }
}

/** Return answers with every value of curves in a part, or null if one fails; the server leaves out what has too many, or is live. */
export async function fetchDetails(curves, from, to) {
  const buffers = [];
  for (let i = 0; i < curves.length; i += AT_ONCE) {
    const some = curves.slice(i, i + AT_ONCE).map(({ key, i: metric }) => `${key}.${metric}`);
    const response = await get(`curves?part=${from}-${to}&want=${some.join()}`);
    const buffer = await response?.arrayBuffer().catch(() => null);
    if (!buffer) return null;
    buffers.push(buffer);
  }
  return buffers;
}

/** Ask for all that is missing of some curves, in one answer: nothing can be asked later. */
export async function fetchLast(curves, isForOthers) {
  const some = curves.filter((curve) => isForOthers || isStale(curve)).slice(0, 2000);
  const response = await get(`curves?last=1&page=${own}&want=${some.map((curve) => wanted(curve, isForOthers)).join()}`, 3_000);
  return (await response?.arrayBuffer().catch(() => null)) ?? null;
}

export async function postOrder(order) {
  return fetch(`control/${order}`, { method: "POST" }).catch(() => null);
}
