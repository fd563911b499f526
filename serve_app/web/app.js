/** The page: photos go in, answers are shown. Each module beside this one is one part of it. */

import { TASKS, filterAnswer } from "./answer.js";
import { codePanel } from "./code.js";
import { controlsFor, settingsOf, thresholdsOf } from "./controls.js";
import { find, h } from "./dom.js";
import { foundLines, notice } from "./found.js";
import { moveByKeys, showGallery } from "./gallery.js";
import { placeIcons } from "./icons.js";
import { takeIn } from "./intake.js";
import { clear, drawSubjects, photoFigure } from "./overlay.js";
import { Photos } from "./photos.js";
import { getJson, sampleFile } from "./service.js";
import { subjectsOf, summaryOf } from "./subjects.js";
import { timingBar } from "./timing.js";

const layers = { outlines: true, boxes: true, labels: true };
let settings = {};
let limits = null;
let key = null;
let maskForm = "rle";
let selected = null;
let connection = null;
let countdown = 0;

const photos = new Photos(request, photoChanged);
const code = codePanel(find("#code"), (form) => {
  maskForm = form;
  if (selected) photos.send(selected);
});
const ways = takeIn(addFiles);

/** What every photo is asked with: low thresholds, since those that are chosen filter what came. */
async function request() {
  await connected();
  return { fields: fieldsOf(({ floor }) => floor, false), form: maskForm, key, limits };
}

/**
 * Form fields [name, value] for the thresholds that `value(setting)` gives, null for the model's own; of the tasks that
 * are shown or of all.
 */
function fieldsOf(value, onlyShown) {
  const tasks = Object.entries(settings).filter(([, { shown }]) => shown || !onlyShown);
  const fields = tasks
    .map(([task, setting]) => [`${task}.${TASKS[task].threshold}`, value(setting)])
    .filter(([, threshold]) => threshold !== null);
  if (tasks.length < Object.keys(settings).length) fields.push(["tasks", tasks.map(([task]) => task).join(",")]);
  if (maskForm !== "rle") fields.push(["masks", maskForm]);
  return fields;
}

/** The answer of a photo as the controls stand: `{answer, image, subjects, summary}`. */
function viewOf(photo) {
  const shown = Object.entries(settings).filter(([, setting]) => setting.shown);
  const thresholds = Object.fromEntries(shown.map(([task, setting]) => [task, thresholdsOf(setting)]));
  const { answer, masks } = filterAnswer(photo.answer, photo.masks, thresholds);
  const [image] = answer.images;
  const faces = "mask_detection" in thresholds && !image.errors.some(({ task }) => task === "mask_detection");
  const subjects = subjectsOf(image, masks, faces);
  return { answer, image, subjects, summary: summaryOf(image, subjects, faces) };
}

function addFiles(files) {
  const [first] = photos.add(files);
  select(first);
  find("#photo-name").focus();
}

function select(photo) {
  selected = photo;
  const started = photo !== null;
  find("#start").hidden = started;
  find("#result").hidden = !started;
  document.body.classList.toggle("started", started);
  if (!started) return;
  find("#photo-name").textContent = photo.name;
  find("#stage").replaceChildren(photoFigure(photo.url, photo.name));
  if (photo.state === "done" && photo.form !== maskForm) photos.send(photo);
  else show();
}

function photoChanged(photo) {
  if (photo === selected) show();
  else gallery();
  if (photo.error?.status === 401) askForKey();
}

function gallery() {
  showGallery(find("#gallery"), photos.all, selected, (photo) => viewOf(photo).summary, select);
}

/** Everything about the photo that is selected, as the controls stand. */
function show() {
  gallery();
  const done = selected.state === "done";
  const stage = find("#stage");
  stage.classList.toggle("working", ["waiting", "sent", "busy"].includes(selected.state));
  find("#controls").hidden = find("#timing").hidden = !done;
  const view = done ? viewOf(selected) : null;
  code.show({
    request: {
      url: new URL("analyze", document.baseURI).href,
      name: selected.name,
      fields: fieldsOf(({ threshold }) => threshold, true),
      withKey: key !== null,
    },
    answer: view?.answer,
  });
  const frame = find(".frame", stage);
  if (!done) {
    clear(frame);
    find("#found").replaceChildren();
    tell(standing(selected));
    return;
  }
  const { image, subjects, summary } = view;
  const picture = find("img", frame);
  if (picture) picture.alt = `${selected.name}: ${summary.text}`;
  drawSubjects(frame, image, subjects, layers, point);
  const failures = image.errors.map(({ task, message }) =>
    notice("problem", `${TASKS[task].title}: no answer`, message),
  );
  tell(h("h2", {}, summary.title), h("p", {}, summary.detail), ...failures);
  find("#found").replaceChildren(...foundLines(subjects, point));
  find("#timing").replaceChildren(...timingBar(selected.answer.timing_ms, selected.elapsed));
}

/** Write the summary, which screen readers read out: only where it says something new. */
function tell(...parts) {
  const fresh = h("div", {}, ...parts);
  const summary = find("#summary");
  if (summary.textContent !== fresh.textContent) summary.replaceChildren(...fresh.childNodes);
}

/** How a photo stands that has no answer. */
function standing(photo) {
  const again = h("button", {}, "Try again");
  again.addEventListener("click", () => photos.send(photo));
  if (photo.state === "failed") {
    const { title, message, status } = photo.error;
    // The same file would be refused again.
    if ([400, 413, 415].includes(status)) return notice("problem", title, message);
    if (status !== 401) return notice("problem", title, message, again);
    const enter = h("button", { class: "primary" }, "Enter the key");
    enter.addEventListener("click", askForKey);
    return notice("problem", title, message, enter);
  }
  if (photo.state === "busy") {
    const seconds = Math.max(1, Math.ceil((photo.retryAt - Date.now()) / 1000));
    clearTimeout(countdown);
    countdown = setTimeout(() => photo === selected && photo.state === "busy" && show(), 1000);
    return notice("problem", photo.error.title, `Trying again in ${seconds} s.`, again);
  }
  return notice("busy", photo.state === "sent" ? "Looking at the photo…" : "Waiting for its turn…");
}

/** A sample could not be fetched: the header says so. */
function offline(error) {
  find("#health").textContent = error.title;
  find("#health").className = "health problem";
}

/** Point at one subject, everywhere it is shown; null at none. */
function point(index) {
  find("#stage").classList.toggle("pointed", index !== null);
  for (const element of document.querySelectorAll("[data-subject]")) {
    element.classList.toggle("active", index !== null && Number(element.dataset.subject) === index);
  }
}

function askForKey() {
  const dialog = find("#key");
  if (dialog.open) return;
  find(".problem", dialog).textContent = key === null ? "" : "The service did not take that key.";
  dialog.showModal();
}

/** Resolves once the page knows what the service has; raises ServiceError, and tries anew when asked again. */
function connected() {
  connection ??= connect().catch((error) => {
    connection = null;
    throw error;
  });
  return connection;
}

async function connect() {
  const health = find("#health");
  try {
    const [service, { models }] = await Promise.all([getJson("./", key), getJson("models", key)]);
    limits = service.limits;
    settings = settingsOf(models);
    find("#controls").replaceChildren(...controlsFor(settings, layers, show));
    find("#key-button").hidden = key === null;
    health.textContent = models.map(({ name, version }) => `${name} ${version}`).join(" · ");
    health.className = "health ready";
  } catch (error) {
    health.textContent = error.title ?? "The service answers strangely";
    health.className = "health problem";
    if (error.status === 401) askForKey();
    throw error;
  }
}

async function useKey(value) {
  key = value;
  connection = null;
  find("#key").close();
  await connected();
  photos.all.filter(({ error }) => error?.status === 401).forEach((photo) => photos.send(photo));
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const { do: action, sample } = button.dataset;
  if (sample) sampleFile(sample).then((file) => addFiles([file]), offline);
  else if (action === "pick") ways.pick();
  else if (action === "camera") ways.camera();
  else if (action === "clear") {
    photos.clear();
    select(null);
  }
});
find("#key form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(new FormData(event.target).get("key")).catch(() => {}); // which the header, or the dialog, tells
  event.target.reset();
});
find("#key [data-do=cancel]").addEventListener("click", () => find("#key").close());
find("#key-button").addEventListener("click", askForKey);
placeIcons();
moveByKeys(find("#gallery"));
connected().catch(() => {}); // which the header tells
