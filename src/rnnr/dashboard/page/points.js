// The points of a curve, for tests and for the console of the browser.

import { curveOf } from "./curves.js";
import { fetchCurves } from "./server.js";
import { runOf, store } from "./store.js";

/** Return the points of a run in the chart of a metric, up to date, or null if there are none. */
export async function points(metric, run) {
  const curves = (store.metrics.get(metric) ?? []).filter((curve) => runOf(curve).name === run);
  if (!curves.length) return null;
  await fetchCurves(curves);
  const copy = (of) => {
    const curve = curveOf(curves.find((one) => one.of === of) ?? {});
    const column = (name) => (curve ? [...curve[name].subarray(0, curve.n)] : []);
    return { x: column("step"), y: column("mean"), least: column("least"), greatest: column("greatest"), width: curve?.width ?? 1 };
  };
  return { batch: copy("batch"), epoch: copy("epoch") };
}
