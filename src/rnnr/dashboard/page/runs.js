// The progress of each run, and why one has failed.

import { byId, durationText, element, grouped, of, rateText, setText } from "./text.js";

const GLYPHS = ["●", "■", "▲", "◆", "▼", "★"];
const COLOURS = 6; // number of --series-… in dashboard.css
const SILENT = 30; // seconds without a report after which the page says so

const cards = new Map(); // run -> its card and the parts of it that change, in the order of the runs

export const isOver = (run) => ["finished", "stopped", "failed"].includes(run.status);
export const isUnderWay = (run) => ["running", "paused", "stopping"].includes(run.status);
const indexOf = (run) => [...cards.keys()].indexOf(run);
// The seventh run has the colour of the first, but not its shape.
export const shape = (run) => (indexOf(run) + Math.floor(indexOf(run) / COLOURS)) % GLYPHS.length;

export const colour = (run) => `--series-${indexOf(run) % COLOURS}`;

export function mark(run) {
  const glyph = element("span", { className: "mark", ariaHidden: "true" }, GLYPHS[shape(run)]);
  glyph.style.color = `var(${colour(run)})`;
  return glyph;
}

const batchesText = (n) => `${grouped(n)} ${n === 1 ? "batch" : "batches"}`;

function facts(run) {
  if (run.status === "waiting") return ["waiting for the run to begin"];
  if (run.status === "reading") return [`${batchesText(run.n_iters ?? 0)} so far`];
  const parts = [];
  if (run.epoch !== null) parts.push(`epoch ${of(run.epoch, run.max_epoch)}`);
  if (isOver(run) || run.batch === null) parts.push(batchesText(run.n_iters ?? 0));
  else parts.push(`batch ${of(run.batch, run.n_batches)}`);
  if (run.batches_per_second) parts.push(rateText(run.batches_per_second) + (isOver(run) ? " on average" : ""));
  if (run.seconds !== null) parts.push(`${durationText(run.seconds)} elapsed`);
  if (run.seconds_left !== null) parts.push(`about ${durationText(run.seconds_left)} left`);
  if (!isOver(run) && run.fraction === null) parts.push("no end known");
  if (run.status === "silent") parts.push(`no report for ${durationText(run.silent)}; it may have been killed or paused`);
  if (run.status === "running" && run.silent > SILENT) parts.push(`no report for ${durationText(run.silent)}`);
  return parts;
}

function makeCard({ name }) {
  const span = (className) => element("span", { className });
  const card = { status: span("badge"), percent: span("percent") };
  cards.set(name, card);
  card.bar = element("progress", { max: 1, ariaLabel: `progress of ${name}` });
  card.facts = element("p", { className: "facts" });
  const title = element("h2", {}, mark(name), element("bdi", {}, name));
  const heading = element("div", { className: "heading" }, title, card.status, card.percent);
  card.root = element("article", {}, heading, card.bar, card.facts);
  card.root.dataset.run = name;
  return card;
}

function fillCard(card, run) {
  const fraction = run.fraction ?? { finished: 1, waiting: 0, stopped: 0, failed: 0 }[run.status] ?? null;
  card.root.className = run.inside ? "run inside" : "run";
  card.status.className = `badge ${run.status}`;
  card.bar.className = run.status;
  setText(card.status, run.status);
  setText(card.percent, fraction === null ? "" : `${Math.floor(fraction * 100)} %`);
  if (fraction === null) card.bar.removeAttribute("value");
  else card.bar.value = fraction;
  const parts = facts(run);
  if (parts.join(" · ") === card.facts.textContent) return;
  card.bar.setAttribute("aria-valuetext", [card.percent.textContent, ...parts].join(" "));
  card.facts.replaceChildren(...parts.flatMap((fact, i) => [...(i ? [" · "] : []), element("span", {}, fact)]));
}

export function showRuns(runs) {
  for (const run of runs) fillCard(cards.get(run.name) ?? makeCard(run), run);
  const order = [...runs].sort((a, b) => a.inside - b.inside).map((run) => cards.get(run.name).root);
  if (order.some((root, i) => byId("runs").children[i] !== root)) byId("runs").replaceChildren(...order);
}

export function showFailures(runs) {
  const failed = runs.filter((run) => run.status === "failed");
  const shown = JSON.stringify(failed.map((run) => [run.name, run.error]));
  if (byId("failure").dataset.shown === shown) return; // new nodes would lose the reader's selection
  byId("failure").dataset.shown = shown;
  byId("failure").hidden = !failed.length;
  byId("failure").replaceChildren(...failed.flatMap(failure));
}

function failure({ name, epoch, error }) {
  const lines = (error ?? "No traceback is known.").trimEnd().split("\n");
  const below = lines.slice(lines.findLastIndex((line) => line.startsWith("Traceback")) + 1);
  const where = epoch === null ? " failed" : ` failed in epoch ${grouped(epoch)}`;
  const exception = below.find((line) => /^\S/.test(line)) ?? lines[0]; // its notes follow
  const trace = { tabIndex: 0, role: "region", ariaLabel: `traceback of ${name}` };
  return [
    element("h2", {}, element("bdi", {}, name), where),
    element("p", {}, exception),
    element("pre", trace, lines.join("\n")),
  ];
}

export function removeRuns() {
  cards.clear();
  byId("runs").replaceChildren();
}
