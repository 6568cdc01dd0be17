// Draws the curves of a run as SVG. Elements stay, and only what they show changes, so nothing flickers.

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [400, 180];
const BOX = { left: 56, top: 24, right: WIDTH - 8, bottom: HEIGHT - 22 };
const COLOURS = ["#3b82f6", "#d97706", "#10a37f", "#c2479d", "#7c6ff0", "#8a8f98"];

function add(parent, name, attributes = {}) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

/** Return the panel of a metric: that of its name without what says of which data it is. */
export const panelOf = (name) => name.replace(/^(train|training|valid|validation|val|test)[_/]/, "");

function newPanel(root) {
  const svg = add(root, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", width: WIDTH, height: HEIGHT });
  svg.style.cssText = "max-width: 100%; color: inherit; font: 11px system-ui, sans-serif";
  const frame = add(svg, "path", { fill: "none", stroke: "currentColor", "stroke-opacity": 0.3 });
  frame.setAttribute("d", `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}`);
  const label = (x, y, anchor) => add(svg, "text", { x, y, "text-anchor": anchor, fill: "currentColor", "fill-opacity": 0.7 });
  const [high, low] = [label(BOX.left - 4, BOX.top + 8, "end"), label(BOX.left - 4, BOX.bottom, "end")];
  const [first, last] = [label(BOX.left, HEIGHT - 6, "start"), label(BOX.right, HEIGHT - 6, "end")];
  return { svg, high, low, first, last, legend: label(BOX.left, 13, "start"), lines: new Map() };
}

function newLine(panel, colour, isEpoch) {
  const band = add(panel.svg, "path", { fill: colour, "fill-opacity": 0.2 });
  const line = add(panel.svg, "path", { fill: "none", stroke: colour, "stroke-width": 1.5, "stroke-linecap": "round" });
  if (isEpoch) line.setAttribute("stroke-width", 2.5);
  return { band, line, text: add(panel.legend, "tspan", { fill: colour, "fill-opacity": 1 }) };
}

const textOf = (value) => (value === null || value === undefined ? "not finite" : Number(value.toPrecision(4)).toString());

/** Return the path through some points, with a gap where there is none; a point that is alone is a dot. */
export function pathOf(points) {
  let [path, isOpen] = ["", false];
  points.forEach((point, i) => {
    if (point) path += `${isOpen ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    if (point && !isOpen && !points[i + 1]) path += "h0.01";
    isOpen = Boolean(point);
  });
  return path;
}

/** Return the outline of the area between the least and the greatest values. */
function bandOf(rows, toX, toY) {
  const there = rows.filter((row) => row[2] !== null && row[3] !== null);
  if (there.every((row) => row[2] === row[3])) return "";
  const [above, below] = [3, 2].map((column) => there.map((row) => [toX(row[0]), toY(row[column])]));
  return `${pathOf([...above, ...below.reverse()])}Z`;
}

function draw(panel, name, curves) {
  const rows = curves.flatMap((curve) => curve.rows);
  const values = rows.flatMap((row) => [row[2], row[3]]).filter((value) => value !== null);
  const steps = rows.map((row) => row[0]);
  const of = (list, choose, otherwise) => (list.length ? list.reduce((one, other) => choose(one, other)) : otherwise);
  const [lo, hi] = [of(values, Math.min, 0), of(values, Math.max, 1)];
  const [from, to] = [of(steps, Math.min, 0), of(steps, Math.max, 1)];
  const toX = (step) => (to > from ? BOX.left + ((step - from) / (to - from)) * (BOX.right - BOX.left) : (BOX.left + BOX.right) / 2);
  const part = (value) => (hi > lo ? (value / 2 - lo / 2) / (hi / 2 - lo / 2) : 0.5); // the whole may be beyond the greatest number
  const toY = (value) => BOX.bottom - part(value) * (BOX.bottom - BOX.top - 4);
  panel.high.textContent = hi > lo ? textOf(hi) : "";
  panel.low.textContent = values.length ? textOf(lo) : "";
  panel.first.textContent = steps.length ? `batch ${from}` : "";
  panel.last.textContent = to > from ? String(to) : "";
  const isKept = new Set();
  curves.forEach((curve) => {
    const key = `${curve.of} ${curve.name}`;
    isKept.add(key);
    if (!panel.lines.has(key)) panel.lines.set(key, newLine(panel, COLOURS[panel.lines.size % COLOURS.length], curve.of === "epoch"));
    const { band, line, text } = panel.lines.get(key);
    line.setAttribute("d", pathOf(curve.rows.map((row) => (row[1] === null ? null : [toX(row[0]), toY(row[1])]))));
    band.setAttribute("d", bandOf(curve.rows, toX, toY));
    const also = curve.notFinite ? `, ${curve.notFinite} not finite` : "";
    text.textContent = `${curve.name}${curve.of === "epoch" ? " (epochs)" : ""} ${textOf(curve.rows.at(-1)?.[1])}${also}   `;
  });
  for (const [key, { band, line, text }] of panel.lines)
    if (!isKept.has(key)) [band, line, text].forEach((one) => one.remove()), panel.lines.delete(key);
  panel.svg.setAttribute("aria-label", `${name}: ${panel.legend.textContent.trim()}`);
}

export function render({ model, el }) {
  const status = el.appendChild(document.createElement("div"));
  const root = el.appendChild(document.createElement("div"));
  status.style.cssText = "font: 12px system-ui, sans-serif; opacity: 0.8";
  root.style.cssText = "display: flex; flex-wrap: wrap; gap: 4px 12px";
  const panels = new Map();
  const update = () => {
    status.textContent = model.get("status");
    const groups = new Map();
    for (const curve of model.get("curves")) {
      const name = panelOf(curve.name);
      groups.set(name, [...(groups.get(name) ?? []), curve]);
    }
    for (const [name, panel] of panels) if (!groups.has(name)) panel.svg.remove(), panels.delete(name);
    for (const [name, curves] of groups) {
      if (!panels.has(name)) panels.set(name, newPanel(root));
      draw(panels.get(name), name, curves);
    }
  };
  model.on("change:curves", update);
  model.on("change:status", update);
  update();
  return () => {
    model.off("change:curves", update);
    model.off("change:status", update);
  };
}

export default { render };
