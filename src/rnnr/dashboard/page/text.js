// Text of the page. Names and texts come from the user's run, so they are inserted as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text; // unchanged: keep its selection, do not read it aloud again
}

const form = new Intl.NumberFormat("en");
export const grouped = (count) => form.format(count);
export const of = (done, all) => (all === null ? grouped(done) : `${grouped(done)} of ${grouped(all)}`);

export function numberText(value) {
  if (value === "Infinity") return "∞";
  if (value === "-Infinity") return "−∞";
  if (typeof value !== "number") return value ?? "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return grouped(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(3);
  return value.toPrecision(Math.max(4, Math.trunc(size).toString().length));
}

/** Return an entry of a configuration in words. */
export function valueText(value) {
  if (Number.isInteger(value)) return String(value); // each digit of a seed counts
  if (typeof value === "number") return String(+value.toPrecision(6));
  return { true: "True", false: "False", null: "None" }[typeof value === "string" ? "" : value] ?? String(value);
}

export function durationText(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  const whole = Math.round(seconds);
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function costText(seconds) {
  const [factor, unit] = seconds < 1e-3 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  const value = seconds * factor;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

export function rateText(rate) {
  if (rate < 1) return `${durationText(1 / rate)} a batch`;
  return `${rate < 100 ? rate.toPrecision(2) : grouped(Math.round(rate))} batches/s`;
}
