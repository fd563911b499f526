/** Where a request's time went, as a bar: models run side by side, so theirs are lanes above each other. */

import { TASKS } from "./answer.js";
import { h } from "./dom.js";

/** `timing` as the service told it, in milliseconds, `elapsed` as the browser saw it. */
export function timingBar(timing, elapsed) {
  const tasks = Object.keys(TASKS).filter((task) => timing[task]);
  const longest = Math.max(0, ...tasks.map((task) => timing[task].queue + timing[task].run));
  const decode = timing.decode ?? 0;
  const between = Math.max(0, timing.total - decode - longest);
  const write = Math.max(0, elapsed - timing.total);
  const whole = decode + longest + between + write || 1;

  const lanes = h("span", { class: "lanes", style: { width: share(longest, whole) } });
  for (const task of tasks) {
    const { queue, run } = timing[task];
    const { title } = TASKS[task];
    const waiting = part(`queue ${task}`, `${title}, waiting`, queue, longest);
    lanes.append(h("span", { class: "lane" }, waiting, part(`run ${task}`, `${title}, running`, run, longest)));
  }
  const bar = h(
    "div",
    { class: "time-bar", "aria-hidden": "true" },
    part("decode", "Decode", decode, whole),
    lanes,
    part("between", "Resize, move, combine", between, whole),
    part("write", "Write and send", write, whole),
  );
  const legend = h(
    "dl",
    {},
    entry("decode", "Decode", milliseconds(decode)),
    tasks.map((task) => {
      const { queue, run } = timing[task];
      return entry(task, TASKS[task].title, `queue ${milliseconds(queue)}, run ${milliseconds(run)}`);
    }),
    entry("between", "Resize, move, combine", milliseconds(between)),
    entry("write", "Write and send", milliseconds(write)),
  );
  return [h("h2", {}, "Time ", h("span", { class: "figure" }, milliseconds(elapsed))), bar, legend];
}

function part(className, title, duration, whole) {
  const width = share(duration, whole);
  return h("span", { class: `part ${className}`, title: `${title}: ${milliseconds(duration)}`, style: { width } });
}

function entry(className, term, text) {
  return h("div", {}, h("dt", { class: className }, term), h("dd", {}, text));
}

function share(duration, whole) {
  return `${whole ? (duration / whole) * 100 : 0}%`;
}

function milliseconds(duration) {
  return `${duration < 10 ? duration.toFixed(1) : Math.round(duration)} ms`;
}
