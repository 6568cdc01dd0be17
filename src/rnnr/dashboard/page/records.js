// Handlers, events and log records: folded, with the gist in the summary.

import { byId, costText, element, grouped, setText } from "./text.js";

const percentOf = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);

function handlerRow({ run, event, name, where, calls, seconds, share }) {
  const texts = { calls: grouped(calls), mean: costText(seconds / calls), total: costText(seconds) };
  const numbers = Object.entries(texts).map(([label, text]) => {
    const cell = element("td", { className: "number" }, text);
    cell.dataset.label = label; // the style sheet shows it if there is no room for the heading
    return cell;
  });
  const bar = element("span", { className: "share", ariaHidden: "true" });
  bar.style.setProperty("--share", share);
  return element(
    "tr", {},
    element("th", { scope: "row" }, element("bdi", {}, name), " ", element("small", {}, where)),
    element("td", { className: "event" }, event),
    element("td", {}, run),
    ...numbers,
    element("td", { className: "part" }, bar, element("span", {}, percentOf(share))),
  );
}

/** Show the user's handlers, the slowest first, and below them a row for rnnr's own of each run. */
export function showHandlers(handlers) {
  const [table, empty] = byId("handlers").querySelectorAll("table, p");
  table.tBodies[0].replaceChildren(...handlers.map(handlerRow));
  table.hidden = !handlers.length;
  empty.hidden = !table.hidden;
  const slowest = handlers.find(({ own }) => own);
  setText(byId("slowest"), slowest?.seconds ? `${slowest.name} takes ${percentOf(slowest.share)}` : "");
}

function line({ time, run, level, logger, text }) {
  const subject = element("b", {}, run ?? level);
  if (level) subject.dataset.level = level;
  const origin = logger ? [element("i", {}, logger), " "] : [];
  return element("li", {}, element("time", {}, time), " ", subject, " ", ...origin, text);
}

const latest = { events: "", log: "" };

export function showLines(name, records) {
  const list = byId(name);
  const below = list.scrollHeight - list.scrollTop;
  const reading = list.scrollTop > 0; // the newest are on top: do not move the lines that the user reads below
  list.replaceChildren(...records.map(line).reverse());
  list.scrollTop = reading ? list.scrollHeight - below : 0;
  const last = records.at(-1);
  latest[name] = last ? `${last.run ?? last.level} ${last.text.split("\n")[0]}` : "";
  setText(byId("latest-line"), latest.log || latest.events);
}
