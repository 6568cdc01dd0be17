// The settings that hold for all charts.

import { change, settings, whenChanged } from "./settings.js";
import { byId, setText } from "./text.js";

function show() {
  for (const radio of document.querySelectorAll("#axes input")) radio.checked = radio.value === settings.x;
  byId("smooth").value = Math.round(settings.smooth * 100);
  setText(byId("smoothed"), String(+settings.smooth.toFixed(3)));
  byId("clip").checked = settings.clip;
  byId("size").value = settings.size;
  byId("charts").dataset.size = settings.size;
  if (document.activeElement !== byId("search")) byId("search").value = settings.q;
  if (document.activeElement !== byId("filter")) byId("filter").value = settings.filter;
}

/** Put the focus into the search at "/", unless a text is being written. */
function hotkey(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, select, textarea")) return;
  event.preventDefault();
  byId("search").focus();
}

export function connectToolbar() {
  show();
  byId("axes").addEventListener("change", ({ target }) => change({ x: target.value }));
  byId("smooth").addEventListener("input", ({ target }) => change({ smooth: Math.min(0.999, target.value / 100) }));
  byId("clip").addEventListener("change", ({ target }) => change({ clip: target.checked }));
  byId("size").addEventListener("change", ({ target }) => change({ size: target.value }));
  byId("search").addEventListener("input", ({ target }) => change({ q: target.value }));
  byId("options").addEventListener("click", () => {
    const isOpen = byId("toolbar").classList.toggle("open");
    byId("options").setAttribute("aria-expanded", isOpen);
  });
  document.addEventListener("keydown", hotkey);
  whenChanged(show);
}
