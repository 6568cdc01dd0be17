// The settings of the page, which are its address: a bookmark keeps them. The token stays in the path.

const DEFAULTS = {
  x: "batches", smooth: 0.9, clip: true, size: "medium", theme: "system", q: "", filter: "", colour: "", sort: "",
  columns: "few", zoom: null, log: [], hide: [], only: null, fold: [], open: [],
};
const AXES = ["batches", "epochs", "time", "clock"];

export const settings = { ...DEFAULTS };
const listeners = [];
let timer = null;

export const whenChanged = (listener) => listeners.push(listener);

/** Change some settings, tell the page, and write them into the address. */
export function change(some) {
  if (some.x && some.x !== settings.x) some = { zoom: null, ...some };
  Object.assign(settings, some);
  clearTimeout(timer);
  timer = setTimeout(write, 200); // a browser refuses to write an address too often
  for (const listener of listeners) listener(Object.keys(some));
}

function write() {
  const parts = Object.keys(DEFAULTS).filter((name) => text(name, settings) !== text(name, DEFAULTS));
  const fragment = parts.map((name) => `${name}=${text(name, settings)}`).join("&");
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
}

function text(name, { [name]: value }) {
  if (value === null) return "-";
  if (name === "zoom") return value.join("~");
  return Array.isArray(value) ? value.map(encodeURIComponent).join() : encodeURIComponent(value);
}

function parsed(name, part) {
  if (name === "zoom") return zoomOf(part);
  if (["log", "hide", "only", "fold", "open"].includes(name)) return listOf(part);
  const value = decodeURIComponent(part);
  if (name === "smooth") return Number.isFinite(+value) ? Math.min(0.999, Math.max(0, +value)) : DEFAULTS.smooth;
  if (name === "clip") return value !== "false";
  return name === "x" && !AXES.includes(value) ? DEFAULTS.x : value;
}

function zoomOf(part) {
  const [from, to] = part.split("~").map(Number);
  return from < to ? [from, to] : null;
}

const listOf = (part) => (part === "-" ? null : part === "" ? [] : part.split(",").map(decodeURIComponent));

function readAddress() {
  const found = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [name, ...value] = part.split("=");
    try {
      if (Object.hasOwn(DEFAULTS, name)) found[name] = parsed(name, value.join("="));
    } catch {
      // an address that was cut: leave this setting as it is
    }
  }
  return { ...DEFAULTS, ...found };
}

Object.assign(settings, readAddress());
addEventListener("hashchange", () => change(readAddress()));

/** Return a list with a member put in or taken out. */
export const toggled = (list, member) => (list.includes(member) ? list.filter((one) => one !== member) : [...list, member]);
