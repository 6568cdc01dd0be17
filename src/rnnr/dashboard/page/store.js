// What the server has told of the runs, and the experiments they make: a training and its evaluations are one.

export const store = { runs: new Map(), order: [], experiments: [], metrics: new Map(), answer: null, isLost: false };

const dropped = []; // what to call with the key of a run that is gone
export const whenDropped = (listener) => dropped.push(listener);

let shape = ""; // changes when runs or metrics come or go

/** Take an answer in; return whether runs or metrics have come or gone. */
export function take(answer) {
  store.answer = { ...store.answer, ...answer };
  for (const run of answer.runs) store.runs.set(run.key, run);
  store.order = (answer.order ?? store.order).filter((key) => store.runs.has(key));
  const there = new Set(store.order);
  for (const key of [...store.runs.keys()]) if (!there.has(key)) drop(key);
  const before = shape;
  shape = store.order.map((key) => `${key} ${rootOf(store.runs.get(key))} ${store.runs.get(key).metrics.names.length}`).join();
  if (shape === before) return false;
  group();
  collectMetrics();
  return true;
}

function drop(key) {
  store.runs.delete(key);
  for (const listener of dropped) listener(key);
}

const isWaiting = (run) => run.live !== false && run.status === "waiting";

/** Return the key of the run whose row a run shares; one that has not begun may be an evaluation of a live run. */
function rootOf(run) {
  const outer = outermost(run);
  if (outer !== run) return rootOf(outer);
  if (store.runs.has(run.part_of)) return run.key; // parts of each other
  if (!isWaiting(run)) return run.key;
  const live = store.order.map((key) => store.runs.get(key)).filter((one) => one.live !== false && !store.runs.has(one.part_of));
  return (live.find((one) => !isWaiting(one)) ?? live[0]).key;
}

/** Return the run that a run is a part of, step by step to the last; in a circle there is none. */
function outermost(run) {
  const passed = new Set();
  let outer = run;
  while (store.runs.has(outer.part_of)) {
    if (passed.has(outer)) return run;
    passed.add(outer);
    outer = store.runs.get(outer.part_of);
  }
  return outer;
}

function group() {
  const experiments = new Map();
  const runs = store.order.map((key) => store.runs.get(key));
  for (const run of runs) if (rootOf(run) === run.key) experiments.set(run.key, newExperiment(run, experiments.size));
  for (const run of runs) if (rootOf(run) !== run.key) experiments.get(rootOf(run))?.keys.push(run.key);
  store.experiments = [...experiments.values()];
}

function newExperiment(run, index) {
  return {
    key: run.key, index, keys: [run.key],
    get lead() { return store.runs.get(this.key); },
    get name() { return this.lead.name; },
    get parts() { return this.keys.map((key) => store.runs.get(key)); },
  };
}

/** Note for each metric the curves that there are: one for each run, or two, of batches and of epochs. */
function collectMetrics() {
  store.metrics = new Map();
  for (const experiment of store.experiments)
    experiment.parts.forEach((run, part) =>
      run.metrics.names.forEach((name, i) => {
        if (!store.metrics.has(name)) store.metrics.set(name, []);
        store.metrics.get(name).push({ experiment, part, key: run.key, i, of: run.metrics.of[i] });
      }),
    );
}

export const runOf = (curve) => store.runs.get(curve.key);
export const lastOf = (curve) => runOf(curve).metrics.last[curve.i];
export const isMany = () => store.experiments.length > 1;

/** Return the labels of the parts, in order of first appearance. */
export function partLabels() {
  return [...new Set(store.experiments.flatMap((experiment) => experiment.parts.map(partLabel)))];
}

/** Return the label of a run in its experiment; "seed 1 validation" of "seed 1" is "validation". */
export function partLabel(run) {
  const label = run.part ?? "training";
  const name = store.runs.get(run.part_of)?.name;
  const rest = name && label.startsWith(name) ? label.slice(name.length).replace(/^[\s./_-]+/, "") : "";
  return rest || label;
}

const known = { answer: null, names: new Set() };

/** Return the names of the entries of all configurations. */
export function configNames() {
  if (known.answer !== store.answer) Object.assign(known, { answer: store.answer, names: new Set(store.experiments.flatMap(({ lead }) => Object.keys(lead.config ?? {}))) });
  return known.names;
}

/** Return the entries of the configuration that differ between the experiments. */
export function differing() {
  const names = [...configNames()];
  const value = ({ lead }, name) => JSON.stringify(entry(lead, name));
  return names.filter((name) => new Set(store.experiments.map((each) => value(each, name))).size > 1);
}

/** Return an entry of a configuration; an entry may be called "constructor". */
export const entry = (run, name) => (Object.hasOwn(run.config ?? {}, name) ? run.config[name] : undefined);
