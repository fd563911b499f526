/** "Try it" in the API's documentation: one request with the options of the form, and its answer. */

import { find, h } from "./dom.js";
import { foundLines, notice } from "./found.js";
import { readMask } from "./masks.js";
import { drawSubjects, photoFigure } from "./overlay.js";
import { ServiceError, analyze, sampleFile } from "./service.js";
import { curl, readable } from "./snippets.js";
import { subjectsOf } from "./subjects.js";
import { timingBar } from "./timing.js";

const form = find(".try");
if (form) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter?.name === "sample" ? event.submitter.value : null);
  });
}

async function send(sample) {
  const outcome = find(".outcome", form);
  outcome.replaceChildren(notice("busy", "Looking at the photo…"));
  try {
    const file = sample ? await sampleFile(sample) : form.elements.image.files[0];
    if (!file) throw new ServiceError("Choose a photo first");
    const fields = [...new FormData(form)].filter(([name, value]) => name !== "image" && value !== "");
    const { answer, elapsed } = await analyze(file, file.name, fields, {});
    outcome.replaceChildren(...(await shown(file, fields, answer, elapsed)));
  } catch (error) {
    outcome.replaceChildren(notice("problem", error.title ?? "The answer could not be read", error.message));
  }
}

async function shown(file, fields, answer, elapsed) {
  const [image] = answer.images;
  const masks = await Promise.all(image.instances.map(({ mask }) => readMask(mask, image.height, image.width)));
  const subjects = subjectsOf(image, masks, "mask_detection" in answer.models);
  const frame = photoFigure(URL.createObjectURL(file), file.name, image);
  const stage = h("div", { class: "stage" }, frame);
  const point = (index) => {
    stage.classList.toggle("pointed", index !== null);
    for (const element of form.querySelectorAll("[data-subject]")) {
      element.classList.toggle("active", Number(element.dataset.subject) === index);
    }
  };
  const request = { url: new URL("analyze", document.baseURI).href, name: file.name, fields, withKey: false };
  const time = h("div", { class: "timing" }, ...timingBar(answer.timing_ms, elapsed));
  const lines = h("ul", { class: "found" }, ...foundLines(subjects, point));
  // Labels are placed once the figure has its size.
  setTimeout(() => drawSubjects(frame, image, subjects, { outlines: true, boxes: true, labels: true }, point));
  return [stage, lines, time, h("pre", { tabIndex: 0 }, curl(request)), h("pre", { tabIndex: 0 }, readable(answer))];
}
