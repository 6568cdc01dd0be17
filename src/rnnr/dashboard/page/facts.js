// How far a run is, in words.

import { store } from "./store.js";
import { durationText, grouped, of, rateText } from "./text.js";

const SILENT = 30; // seconds without a report after which the page says so

export const isOver = (run) => ["finished", "stopped", "failed"].includes(run.status);
export const isUnderWay = (run) => ["running", "paused", "stopping"].includes(run.status);

/** Return the status of a run as it is shown: nobody knows how a live run goes on while its process does not answer. */
export const shownStatus = (run) => (store.isLost && run.live !== false && isUnderWay(run) ? "lost" : run.status);

const batchesText = (n) => `${grouped(n)} ${n === 1 ? "batch" : "batches"}`;

export function facts(run) {
  if (run.status === "waiting") return ["waiting for the run to begin"];
  if (run.status === "reading") return [`${batchesText(run.n_iters ?? 0)} so far`];
  const parts = [];
  if (run.epoch !== null) parts.push(`epoch ${of(run.epoch, run.max_epoch)}`);
  if (isOver(run) || run.batch === null) parts.push(batchesText(run.n_iters ?? 0));
  else parts.push(`batch ${of(run.batch, run.n_batches)}`);
  const isLost = shownStatus(run) === "lost";
  if (run.batches_per_second && !isLost) parts.push(rateText(run.batches_per_second) + (isOver(run) ? " on average" : ""));
  if (run.seconds !== null) parts.push(`${durationText(run.seconds)} elapsed`);
  if (run.seconds_left !== null && !isLost) parts.push(`about ${durationText(run.seconds_left)} left`);
  if (!isOver(run) && run.fraction === null) parts.push("no end known");
  if (run.stopped_by) parts.push(`stopped by ${run.stopped_by}`);
  if (run.status === "silent") parts.push(`no report for ${durationText(run.silent)}; it may have been killed or paused`);
  if (run.status === "running" && run.silent > SILENT) parts.push(`no report for ${durationText(run.silent)}`);
  return parts;
}

/** Return the part of a run that is done, or null if nobody knows. */
export function fractionOf(run) {
  return run.fraction ?? { finished: 1, waiting: 0, stopped: 0, failed: 0 }[run.status] ?? null;
}

export function percentText(run) {
  const fraction = fractionOf(run);
  return fraction === null ? "" : `${Math.floor(fraction * 100)} %`;
}

/** Return the status of a run in words. */
export function statusOf(run) {
  if (shownStatus(run) === "lost") return "no answer";
  if (run.status === "silent") return "no end recorded";
  return run.status === "reading" && run.fraction !== null ? `reading ${percentText(run)}` : run.status;
}
