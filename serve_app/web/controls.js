/** Which tasks are shown, from which score on, and which layers: all of it applies at once, without a request. */

import { TASKS } from "./answer.js";
import { h } from "./dom.js";

/** Least score that is asked of the service: below it are mostly guesses, and the face model looks twice at each. */
const FLOOR = 0.2;
const LAYERS = { outlines: "Outlines", boxes: "Boxes", labels: "Labels" };

/**
 * Each task that the service has: whether it is `shown`, and from which `threshold` on, null for those of its card,
 * `own` as `{least, ofClass}`. `floor` is what is asked for.
 */
export function settingsOf(cards) {
  return Object.fromEntries(
    cards
      .filter(({ task }) => task in TASKS)
      .map(({ task, thresholds, class_thresholds: ofClass = {} }) => {
        const least = thresholds?.[TASKS[task].threshold] ?? 0.5;
        const floor = Math.min(FLOOR, least, ...Object.values(ofClass));
        return [task, { shown: true, threshold: null, own: { least, ofClass }, floor }];
      }),
  );
}

/** The thresholds of a setting, as they stand. */
export function thresholdsOf({ threshold, own }) {
  return threshold === null ? own : { least: threshold, ofClass: {} };
}

/** The controls over `settings` and `layers`, which they change; `onChange` is told. */
export function controlsFor(settings, layers, onChange) {
  const tasks = Object.entries(settings).map(([task, setting]) => taskControl(task, setting, settings, onChange));
  const toggles = Object.entries(LAYERS).map(([layer, text]) => {
    const box = h("input", { type: "checkbox", checked: layers[layer], name: `layer-${layer}` });
    box.addEventListener("change", () => {
      layers[layer] = box.checked;
      onChange();
    });
    return h("label", { class: "chip" }, box, text);
  });
  return [h("h2", {}, "Show"), ...tasks, h("div", { class: "chips", role: "group", "aria-label": "Layers" }, toggles)];
}

function taskControl(task, setting, settings, onChange) {
  const { title, threshold } = TASKS[task];
  const shown = h("input", { type: "checkbox", role: "switch", checked: setting.shown, name: task });
  const { least, ofClass } = setting.own;
  const slider = h("input", {
    type: "range",
    name: `${task}.${threshold}`,
    min: setting.floor,
    max: 1,
    step: 0.01,
    "aria-label": `${title}: least score`,
  });
  const value = h("output", {});
  const own = [...Object.entries(ofClass).map(([label, score]) => `${label} ${score.toFixed(2)}`), least.toFixed(2)];
  const reset = h("button", { class: "plain usual", title: `The model's own: ${own.join(", ")}` }, "reset");
  const update = () => {
    slider.value = setting.threshold ?? least;
    slider.style.setProperty("--share", `${((slider.value - setting.floor) / (1 - setting.floor)) * 100}%`);
    const byClass = setting.threshold === null && own.length > 1;
    value.textContent = byClass ? "by class" : (setting.threshold ?? least).toFixed(2);
    value.title = byClass ? own.join(", ") : "";
    slider.setAttribute("aria-valuetext", byClass ? own.join(", ") : value.textContent);
    reset.hidden = setting.threshold === null;
  };
  shown.addEventListener("change", () => {
    // A request asks for one task at least, and so does the page.
    if (!Object.values(settings).some((each) => each !== setting && each.shown)) shown.checked = true;
    setting.shown = shown.checked;
    slider.disabled = !shown.checked;
    onChange();
  });
  slider.addEventListener("input", () => {
    setting.threshold = Number(slider.value);
    update();
    onChange();
  });
  reset.addEventListener("click", () => {
    setting.threshold = null;
    update();
    onChange();
    slider.focus();
  });
  update();
  return h(
    "div",
    { class: "task" },
    h("label", { class: "switch" }, shown, h("span", {}, title)),
    h("div", { class: "threshold" }, h("span", { class: "fine" }, "from score"), slider, value, reset),
  );
}
