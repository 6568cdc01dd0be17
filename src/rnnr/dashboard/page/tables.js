// The tables of handlers, events and log records.

import { byId, costText, element, grouped } from "./text.js";

function handlerRow({ run, event, name, where, calls, seconds, share }) {
  const mean = calls && seconds !== null ? seconds / calls : null;
  const texts = { calls: calls === null ? "–" : grouped(calls), mean: costText(mean), total: costText(seconds) };
  const numbers = Object.entries(texts).map(([label, text]) => {
    const cell = element("td", { className: "number" }, text);
    cell.dataset.label = label; // the style sheet shows it if there is no room for the heading
    return cell;
  });
  const bar = element("span", { className: "share", ariaHidden: "true" });
  bar.style.setProperty("--share", share ?? 0);
  const percent = share === null ? "–" : share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`;
  return element(
    "tr", {},
    element("th", { scope: "row" }, element("bdi", {}, name), " ", element("small", {}, where ?? "")),
    element("td", { className: "event" }, event),
    element("td", {}, run),
    ...numbers,
    element("td", { className: "part" }, bar, element("span", {}, percent)),
  );
}

export function showHandlers(handlers) {
  const [table, empty] = byId("handlers").querySelectorAll("table, p");
  table.tBodies[0].replaceChildren(...(handlers ?? []).map(handlerRow));
  table.hidden = !handlers?.length;
  empty.hidden = !table.hidden;
}

function line({ time, run, level, logger, text }) {
  const subject = element("b", {}, run ?? level);
  if (level) subject.dataset.level = level;
  const origin = logger ? [element("i", {}, logger), " "] : [];
  return element("li", {}, element("time", {}, time), " ", subject, " ", ...origin, text);
}

export function showLines(list, records) {
  const below = list.scrollHeight - list.scrollTop;
  const reading = list.scrollTop > 0; // the newest are on top: do not move the lines that the user reads below
  list.replaceChildren(...records.map(line).reverse());
  list.scrollTop = reading ? list.scrollHeight - below : 0;
}
