/** Line icons on a grid of 24, drawn in the colour of the text. */

import { s } from "./dom.js";

const PATHS = {
  upload: "M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M4.5 15.5v2a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-2",
  camera:
    "M4.5 8h3L9 5.5h6L16.5 8h3A1.5 1.5 0 0 1 21 9.5v8a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5v-8A1.5 1.5 0 0 1 4.5 8ZM8.5 13a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0",
  close: "m6.5 6.5 11 11m0-11-11 11",
  copy: "M10.5 8.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2Zm5 0v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2",
  key: "M4 15.5a4 4 0 1 0 8 0 4 4 0 1 0-8 0m7-3 8-8m-3 3 2.5 2.5M13.5 10l1.5 1.5",
  warn: "M12 9v4.5m0 3v.1M10.3 4.5 2.9 17.3a2 2 0 0 0 1.7 3h14.8a2 2 0 0 0 1.7-3L13.7 4.5a2 2 0 0 0-3.4 0Z",
  mask: "M5.5 9q3.5-.2 6.5-2 3 1.8 6.5 2v3.5q-1 5-6.5 6.5-5.5-1.5-6.5-6.5ZM9 11.5h6M9 14.5h6M5.5 10 3 9m15.5 1L21 9",
  face: "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0m5.3-2v.1m5.4-.1v.1M9 15h6",
};

/** An icon; screen readers pass over it. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
}

/** Put the icons before the words of every element that asks for one by `data-icon`. */
export function placeIcons(within = document) {
  for (const element of within.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
}
