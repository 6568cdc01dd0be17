// Light or dark: as the system is, or as the button says.

import { readColours } from "./colours.js";
import { change, settings, whenChanged } from "./settings.js";
import { byId } from "./text.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function show() {
  if (settings.theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme === "dark" ? "dark" : "light";
  readColours();
}

/** Turn from light to dark and back; what the system has is not written into the address. */
function turn() {
  const isDark = settings.theme === "system" ? dark.matches : settings.theme === "dark";
  const next = isDark ? "light" : "dark";
  change({ theme: (next === "dark") === dark.matches ? "system" : next });
}

/** Follow the theme, and call `repaint` when it has changed. */
export function connectTheme(repaint) {
  show();
  byId("theme").addEventListener("click", turn);
  whenChanged((names) => names.includes("theme") && (show(), repaint()));
  dark.addEventListener("change", () => (show(), repaint()));
}
