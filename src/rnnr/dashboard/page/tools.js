// The tools of a chart: a logarithmic axis, the values and the picture as files, enlarging.

import { charts, when } from "./charts.js";
import { enlarge, whenEnlarged } from "./enlarge.js";
import { connect } from "./pointer.js";
import { saveCsv, savePng } from "./save.js";
import { change, settings, toggled, whenChanged } from "./settings.js";
import { element } from "./text.js";

function tool(chart, text, name, act) {
  const button = element("button", { type: "button", ariaLabel: `${name}: ${chart.metric}`, title: name }, text);
  button.addEventListener("click", act);
  chart.tools.append(button);
  return button;
}

function addTools(chart) {
  const { metric } = chart;
  chart.log = tool(chart, "log", "log scale", () => change({ log: toggled(settings.log, metric) }));
  showLog(chart);
  tool(chart, "CSV", "save the values", () => saveCsv(metric));
  tool(chart, "PNG", "save the picture", () => savePng(metric));
  if (!chart.isEnlarged) tool(chart, "⤢", "enlarge", () => enlarge(metric));
}

const showLog = ({ log, metric }) => log.setAttribute("aria-pressed", settings.log.includes(metric));

export function connectTools() {
  const enlarged = [];
  when("made", addTools);
  whenEnlarged((chart) => {
    addTools(chart);
    connect(chart);
    enlarged[0] = chart;
  });
  whenChanged((names) => names.includes("log") && [...charts.values(), ...enlarged].forEach(showLog));
}
