/** Where a request's time went, as a bar: models run side by side, so theirs are lanes above each other. */

import { TASKS } from "./answer.js";
import { h } from "./dom.js";

/** `timing` as the service told it, in milliseconds, `elapsed` as the browser saw it. */
export function timingBar(timing, elapsed) {
  const lanes = Object.keys(TASKS).filter((task) => timing[task]);
  const longest = Math.max(0, ...lanes.map((task) => timing[task].queue + timing[task].run));
  const decode = timing.decode ?? 0;
  const between = Math.max(0, timing.total - decode - longest);
  const write = Math.max(0, elapsed - timing.total);
  const whole = Math.max(elapsed, decode + longest + between + write) || 1;
  const part = (className, duration, title) =>
    h("span", { class: `part ${className}`, title: `${title}: ${milliseconds(duration)}`, style: { width: `${(duration / whole) * 100}%` } });
  const models = h("span", { class: "lanes", style: { width: `${(longest / whole) * 100}%` } });
  for (const task of lanes) {
    const { queue, run } = timing[task];
    const lane = h("span", { class: "lane" });
    for (const [className, duration, title] of [["queue", queue, "waiting"], ["run", run, "running"]]) {
      const width = longest ? (duration / longest) * 100 : 0;
      lane.append(h("span", { class: `part ${className} ${task}`, title: `${TASKS[task].title}, ${title}: ${milliseconds(duration)}`, style: { width: `${width}%` } }));
    }
    models.append(lane);
  }
  const legend = h("dl", {});
  const explain = (className, term, text) => legend.append(h("div", {}, h("dt", { class: className }, term), h("dd", {}, text)));
  explain("decode", "Decode", milliseconds(decode));
  for (const task of lanes) {
    const { queue, run } = timing[task];
    explain(`run ${task}`, TASKS[task].title, `queue ${milliseconds(queue)}, run ${milliseconds(run)}`);
  }
  explain("between", "Resize, move, combine", milliseconds(between));
  explain("write", "Write and send", milliseconds(write));
  return [
    h("h2", {}, "Time ", h("span", { class: "figure" }, milliseconds(elapsed))),
    h("div", { class: "time-bar", "aria-hidden": "true" }, part("decode", decode, "Decode"), models, part("between", between, "Resize, move, combine"), part("write", write, "Write and send")),
    legend,
  ];
}

function milliseconds(duration) {
  return `${duration < 10 ? duration.toFixed(1) : Math.round(duration)} ms`;
}
