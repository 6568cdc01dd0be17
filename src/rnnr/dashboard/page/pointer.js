// The mouse, the keys and the fingers on a chart.

import { when } from "./charts.js";
import { cursor, curveNear, drawAll, moveCursor } from "./cursor.js";
import { enlarge } from "./enlarge.js";
import { view } from "./series.js";
import { settings } from "./settings.js";
import { solo } from "./shown.js";
import { isMany } from "./store.js";
import { zoomTo } from "./zoom.js";

const DRAG = 5; // pixels from which a press is a drag
const TWICE = 280; // milliseconds in which a second click may come

function xOf({ plot, box, ratio }, clientX) {
  const at = (clientX - plot.getBoundingClientRect().left) * ratio;
  const x = view.lo + ((at - box.left) / box.width) * (view.hi - view.lo);
  return Math.min(view.hi, Math.max(view.lo, x));
}

const yOf = ({ plot }, clientY) => clientY - plot.getBoundingClientRect().top;

/** Let a chart follow the mouse, the keys and the fingers. */
export function connect(chart) {
  const { plot } = chart;
  const pointers = new Map(); // those that are down -> where they were pressed
  let click = null;

  const select = () => {
    const places = [...pointers.values()].flatMap(({ from, to }) => (pointers.size > 1 ? [to] : [from, to]));
    cursor.selection = [Math.min(...places), Math.max(...places)].map((x) => xOf(chart, x));
    drawAll();
  };
  const isDragged = () => [...pointers.values()].some(({ from, to, isTouch }) => !isTouch && Math.abs(to - from) > DRAG);

  plot.addEventListener("pointerdown", (event) => {
    if (!chart.scales || event.button !== 0) return;
    pointers.set(event.pointerId, { from: event.clientX, to: event.clientX, isTouch: event.pointerType === "touch" });
    if (event.pointerType === "touch") moveCursor(xOf(chart, event.clientX), chart, { y: yOf(chart, event.clientY) });
    else plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    if (!chart.scales) return;
    const pointer = pointers.get(event.pointerId);
    if (pointer) pointer.to = event.clientX;
    if (pointers.size > 1 || isDragged()) return select();
    moveCursor(xOf(chart, event.clientX), chart, { y: yOf(chart, event.clientY) });
  });
  plot.addEventListener("pointerup", (event) => {
    const pointer = pointers.get(event.pointerId);
    const { selection } = cursor;
    if (selection) finish(pointers, selection);
    else if (pointer && !pointer.isTouch) press(event);
    pointers.delete(event.pointerId);
  });
  plot.addEventListener("pointercancel", () => cancel(pointers));
  plot.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && !pointers.size && moveCursor(null, null));
  plot.addEventListener("dblclick", () => (clearTimeout(click), settings.zoom && zoomTo(null)));
  plot.addEventListener("keydown", (event) => keys(chart, event));
  plot.addEventListener("blur", () => cursor.isByKey && moveCursor(null, null));

  function press(event) {
    clearTimeout(click);
    const curve = isMany() ? curveNear(chart, xOf(chart, event.clientX), yOf(chart, event.clientY)) : null;
    const act = () => (curve ? solo(curve.experiment) : chart.isEnlarged || enlarge(chart.metric));
    if (settings.zoom) click = setTimeout(act, TWICE); // a second click would mean the whole range
    else act();
  }
}

function finish(pointers, [from, to]) {
  cancel(pointers);
  moveCursor(null, null);
  if (to > from) zoomTo([from, to]);
}

function cancel(pointers) {
  pointers.clear();
  cursor.selection = null;
  drawAll();
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 };

function keys(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !chart.scales) return;
  const range = view.hi - view.lo;
  const at = cursor.chart === chart && cursor.x !== null ? cursor.x : view.hi;
  const to = { Home: view.lo, End: view.hi }[event.key] ?? (STEPS[event.key] ? at + (STEPS[event.key] * (event.shiftKey ? 10 : 1) * range) / 100 : null);
  const isUsed = to !== null || ["Enter", "Escape", "+", "-", "0"].includes(event.key);
  if (!isUsed || (event.key === "Escape" && (cursor.x === null || chart.isEnlarged))) return;
  event.preventDefault();
  if (to !== null) return moveCursor(Math.min(view.hi, Math.max(view.lo, to)), chart, { isByKey: true });
  if (event.key === "Enter" && !chart.isEnlarged) enlarge(chart.metric);
  if (event.key === "Escape") moveCursor(null, null);
  if (event.key === "0") zoomTo(null);
  if ("+-".includes(event.key)) zoomAround(at, range * (event.key === "+" ? 0.5 : 2));
}

function zoomAround(at, range) {
  const { lo, hi } = view.whole;
  if (range >= hi - lo) return zoomTo(null);
  const from = Math.min(hi - range, Math.max(lo, at - range / 2));
  zoomTo([from, from + range]);
}

document.addEventListener("pointerdown", ({ target, pointerType }) => {
  if (pointerType === "touch" && cursor.x !== null && !target.closest?.(".plot")) moveCursor(null, null);
});
when("made", connect);
