/** The answer in words: the summary, and a line for each subject. */

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { percent } from "./subjects.js";

const ICONS = { mask: "mask", bare: "face", unseen: "face" };

/** The lines; pointing at one, or moving the focus to it, points at its subject. */
export function foundLines(subjects, onPoint) {
  return subjects.map((subject, index) => {
    const { title, score, verdict, color } = subject;
    const button = h(
      "button",
      { class: "line", data: { subject: index }, "aria-label": spoken(subject) },
      h("span", { class: "swatch", style: { "--color": color ?? "transparent" } }),
      h("span", { class: "title" }, title, h("small", {}, percent(score))),
      verdict && wears(verdict),
    );
    button.addEventListener("pointerenter", () => onPoint(index));
    button.addEventListener("pointerleave", () => onPoint(null));
    button.addEventListener("focus", () => onPoint(index));
    button.addEventListener("blur", () => onPoint(null));
    return h("li", {}, button);
  });
}

function wears({ text, state, share }) {
  return h("span", { class: `verdict ${state}` }, icon(ICONS[state]), text, share && h("small", {}, share));
}

/** A line as it is read out. */
function spoken({ title, score, verdict }) {
  const wears = verdict ? `: ${[verdict.text, verdict.share].filter(Boolean).join(", ")}` : "";
  return `${title}, ${percent(score)}${wears}`;
}

/** What is being done, or went wrong, in place of lines: a title, a text, and what can be done about it. */
export function notice(kind, title, text, ...actions) {
  const buttons = actions.length > 0 && h("div", { class: "buttons" }, actions);
  const words = h("div", {}, h("strong", {}, title), text && h("p", {}, text), buttons);
  return h("div", { class: `notice ${kind}` }, kind !== "busy" && icon("warn"), words);
}
