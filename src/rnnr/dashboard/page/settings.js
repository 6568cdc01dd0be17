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
  return Array.isArray(value) ? listText(value.map(encoded)) : encoded(value);
}

/** Return a list in the address: an empty name is not an empty list, and a name "-" is not what stands for none. */
function listText(names) {
  if (names.length === 1 && names[0] === "") return ",";
  return names.length === 1 && names[0] === "-" ? "%2D" : names.join();
}

/** Return a text for the address; half a pair of surrogates, which URIs cannot hold, is written as %uD800. */
function encoded(value) {
  return String(value).replace(/\p{Cs}|\P{Cs}+/gu, (part) =>
    /\p{Cs}/u.test(part) ? `%u${part.charCodeAt(0).toString(16).toUpperCase()}` : encodeURIComponent(part));
}

function decoded(part) {
  const pieces = part.split(/%u([0-9a-f]{4})/i);
  return pieces.map((piece, i) => (i % 2 ? String.fromCharCode(parseInt(piece, 16)) : decodeURIComponent(piece))).join("");
}

function parsed(name, part) {
  if (name === "zoom") return zoomOf(part);
  if (name === "only" && part === "-") return null;
  if (["log", "hide", "only", "fold", "open"].includes(name)) return listOf(part);
  const value = decoded(part);
  if (name === "smooth") return Number.isFinite(+value) ? Math.min(0.999, Math.max(0, +value)) : DEFAULTS.smooth;
  if (name === "clip") return value !== "false";
  return name === "x" && !AXES.includes(value) ? DEFAULTS.x : value;
}

function zoomOf(part) {
  const [from, to] = part.split("~").map(Number);
  return from < to ? [from, to] : null;
}

const listOf = (part) => (part === "" ? [] : [...new Set(part.split(",").map(decoded))]);

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
