// The runs that have failed, and why.

import { isMany } from "./store.js";
import { element, byId, grouped } from "./text.js";

export function showFailures(runs) {
  const failed = runs.filter((run) => run.status === "failed");
  const isFolded = failed.length > 1 || (failed.length === 1 && isMany());
  const shown = JSON.stringify([isFolded, failed.map((run) => [run.name, run.error])]);
  if (byId("failure").dataset.shown === shown) return; // new nodes would lose the reader's selection
  byId("failure").dataset.shown = shown;
  byId("failure").hidden = !failed.length;
  byId("failure").replaceChildren(...(isFolded ? [together(failed)] : failed.flatMap(failure)));
}

/** Return failures among several runs, folded: tracebacks would hide the charts. */
function together(failed) {
  const names = failed.slice(0, 8).flatMap(({ name }, i) => [i ? ", " : "", element("bdi", {}, name)]);
  const summary = element("summary", {}, element("h2", {}, `${failed.length} ${failed.length === 1 ? "run" : "runs"} failed: `, ...names, failed.length > 8 ? ", …" : ""));
  return element("details", {}, summary, ...failed.flatMap(failure));
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
