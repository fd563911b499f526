/** Which tasks are shown, from which score on, and which layers: all of it applies at once, without a request. */

import { TASKS } from "./answer.js";
import { h } from "./dom.js";

export const FLOOR = 0.2;
/** Least score that is asked of the service: below it are mostly guesses, and the face model's second stage looks at each. */
const LAYERS = { outlines: "Outlines", boxes: "Boxes", labels: "Labels" };

/** Each task that the service has, with the threshold of its model card. */
export function settingsOf(cards) {
  return Object.fromEntries(
    cards
      .filter(({ task }) => task in TASKS)
      .map(({ task, thresholds }) => {
        const least = thresholds?.[TASKS[task].threshold] ?? 0.5;
        return [task, { shown: true, threshold: least, usual: least, floor: Math.min(FLOOR, least) }];
      }),
  );
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
  const slider = h("input", {
    type: "range",
    name: `${task}.${threshold}`,
    min: setting.floor,
    max: 1,
    step: 0.01,
    value: setting.threshold,
    "aria-label": `${title}: least score`,
  });
  const value = h("output", {}, setting.threshold.toFixed(2));
  const usual = h("button", { class: "plain usual", title: `The model's own: ${setting.usual.toFixed(2)}` }, "reset");
  const update = () => {
    value.textContent = setting.threshold.toFixed(2);
    usual.hidden = setting.threshold === setting.usual;
    slider.style.setProperty("--share", `${((setting.threshold - setting.floor) / (1 - setting.floor)) * 100}%`);
    onChange();
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
  });
  usual.addEventListener("click", () => {
    slider.value = setting.threshold = setting.usual;
    update();
    slider.focus();
  });
  usual.hidden = setting.threshold === setting.usual;
  slider.style.setProperty("--share", `${((setting.threshold - setting.floor) / (1 - setting.floor)) * 100}%`);
  return h(
    "div",
    { class: "task" },
    h("label", { class: "switch" }, shown, h("span", {}, title)),
    h("div", { class: "threshold" }, h("span", { class: "fine" }, "from score"), slider, value, usual),
  );
}
