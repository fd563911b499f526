/** The photo with its answer drawn over it as vectors: sharp at every size, and each subject can be pointed at. */

import { h, s } from "./dom.js";
import { outline } from "./masks.js";

/** Subjects beyond which only the one pointed at is named. */
const MOST_TAGS = 16;

/** A figure of the photo, in words where the browser cannot show the file; `size` is the answer's, if there is one. */
export function photoFigure(url, alt, size = null) {
  const image = h("img", { src: url, alt, decoding: "async", draggable: false });
  const frame = h("div", { class: "frame" }, image);
  image.addEventListener("error", () => {
    image.replaceWith(h("p", { class: "unshowable" }, "This browser cannot show the file itself."));
    frame.classList.add("blank");
  });
  if (size) shape(frame, size);
  return frame;
}

/** Give a figure the proportions that the service saw, whatever the browser makes of the file. */
function shape(frame, { width, height }) {
  frame.style.setProperty("--ratio", `${width} / ${height}`);
  frame.classList.add("shaped");
}

/** Draw the subjects of an image of `width` x `height` on a figure, instead of what was drawn before. */
export function drawSubjects(frame, { width, height }, subjects, layers, onPoint) {
  clear(frame);
  shape(frame, { width, height });
  const overlay = s("svg", {
    class: "overlay",
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  const tags = h("div", { class: "tags", "aria-hidden": "true" });
  tags.classList.toggle("crowded", subjects.length > MOST_TAGS);
  const groups = subjects.map((subject, index) => group(subject, index, layers));
  // Small ones last, so that they lie on top and can be pointed at.
  const size = ({ box, face }) => area(box ?? face.box);
  const order = subjects.map((_, index) => index).sort((a, b) => size(subjects[b]) - size(subjects[a]));
  overlay.append(...order.map((index) => groups[index]));
  overlay.addEventListener("pointerover", ({ target }) => {
    const pointed = target.closest(".subject");
    onPoint(pointed ? Number(pointed.dataset.subject) : null);
  });
  overlay.addEventListener("pointerleave", () => onPoint(null));
  frame.append(overlay, tags);
  if (layers.labels) label(tags, subjects, width, height);
}

/** Remove what was drawn. */
export function clear(frame) {
  frame.querySelectorAll(".overlay, .tags").forEach((old) => old.remove());
}

function group({ box, mask, face, color, verdict, title }, index, layers) {
  const children = [];
  if (layers.outlines && mask) {
    mask.path ??= outline(mask);
    children.push(s("path", { class: "region", d: mask.path, "fill-rule": "evenodd" }));
  }
  if (layers.boxes && box) children.push(rectangle(box, "box"));
  if (layers.boxes && face) children.push(rectangle(face.box, `face ${verdict.state}`));
  const element = s("g", { class: "subject", "data-subject": index, "data-title": title }, ...children);
  if (color) element.style.setProperty("--color", color);
  return element;
}

function rectangle({ left, top, right, bottom }, className) {
  const size = { width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  return s("rect", { class: className, x: left, y: top, ...size });
}

/** What each face wears above it, then each name at the corner of its box where it hides no label that is there. */
function label(tags, subjects, width, height) {
  const taken = [];
  // In a crowd only the labels of one subject are seen at a time, and measuring all would take long.
  const crowded = tags.classList.contains("crowded");
  const put = (tag, places) => {
    tags.append(tag);
    for (const [x, y, alignment] of crowded ? places.slice(0, 1) : places) {
      tag.className = tag.className.replace(/ (start|end)-(above|below)/, "") + ` ${alignment}`;
      tag.style.setProperty("left", `${clamp(x / width) * 100}%`);
      tag.style.setProperty("top", `${clamp(y / height) * 100}%`);
      if (crowded || !taken.some((other) => collide(other, tag.getBoundingClientRect()))) break;
    }
    if (!crowded) taken.push(tag.getBoundingClientRect());
  };
  subjects.forEach(({ face, verdict }, index) => {
    if (!face) return;
    const { left, top, right, bottom } = face.box;
    const above = [[left, top, "start-above"], [right, top, "end-above"]];
    const below = [[left, bottom, "start-below"], [right, bottom, "end-below"]];
    if (left / width > 0.75) for (const places of [above, below]) places.reverse();
    const text = `${verdict.text} ${verdict.share}`;
    const tag = h("span", { class: `tag ${verdict.state}`, data: { subject: index } }, text);
    // The last is taken where none is free.
    put(tag, top / height > 0.06 ? [...above, ...below, above[0]] : [...below, below[0]]);
  });
  subjects.forEach(({ title, box, color }, index) => {
    if (!box) return;
    const { left, top, right, bottom } = box;
    const tag = h("span", { class: "tag name", data: { subject: index }, style: { "--color": color } }, title);
    tag.classList.toggle("dark-ink", luminance(color) > 140);
    const high = (top + bottom) / 2;
    put(tag, [
      [left, bottom, "start-above"],
      [right, bottom, "end-above"],
      [left, top, "start-below"],
      [right, top, "end-below"],
      [left, high, "start-above"],
      [right, high, "end-above"],
      [left, bottom, "start-above"],
    ]);
  });
}

function clamp(share) {
  return Math.min(Math.max(share, 0), 1);
}

function collide(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

function area({ left, top, right, bottom }) {
  return (right - left) * (bottom - top);
}

function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}
