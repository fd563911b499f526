/** Several photos as a strip of small ones, with how each stands. */

import { h } from "./dom.js";

const STATES = { waiting: "waiting", sent: "being analysed", busy: "waiting for the service", failed: "failed" };

/** Fill `element`; `describe(photo)` says `{text, masked, bare}` of a photo that is done. */
export function showGallery(element, photos, selected, describe, onSelect) {
  element.hidden = photos.length < 2;
  const existing = new Map([...element.children].map((child) => [child.photo, child]));
  element.replaceChildren(...photos.map((photo) => existing.get(photo) ?? thumbnail(photo, onSelect)));
  photos.forEach((photo, index) => {
    const button = element.children[index];
    const done = photo.state === "done" ? describe(photo) : null;
    button.className = `thumb ${photo.state}`;
    button.setAttribute("aria-current", photo === selected);
    button.setAttribute("aria-label", `${photo.name}: ${done?.text ?? STATES[photo.state]}`);
    button.tabIndex = photo === selected ? 0 : -1;
    const marks = [["mask", done?.masked], ["bare", done?.bare]].filter(([, count]) => count);
    button.lastChild.replaceChildren(...marks.map(([state, count]) => h("span", { class: state }, count)));
  });
}

/** Left, right, home and end move along the strip. */
export function moveByKeys(element) {
  element.addEventListener("keydown", (event) => {
    const buttons = [...element.children];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[to].click();
    buttons[to].focus();
  });
}

function thumbnail(photo, onSelect) {
  const image = h("img", { src: photo.url, alt: "", decoding: "async" });
  image.addEventListener("error", () => image.remove());
  const button = h("button", { title: photo.name }, image, h("span", { class: "marks" }));
  button.photo = photo;
  button.addEventListener("click", () => onSelect(photo));
  return button;
}
