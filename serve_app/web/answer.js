/**
 * What an answer says at other thresholds and of fewer tasks, without asking again: exactly what the service would have
 * said, since a lower threshold only adds results of lower scores.
 */

import { pixelsInBox } from "./masks.js";

const LEAST_COVERAGE = 0.3;

/** The three tasks: what they find, which score counts, and the option that is its least. */
export const TASKS = {
  mask_detection: { title: "Faces and masks", found: "faces", score: "face_score", threshold: "face_threshold" },
  instance_segmentation: {
    title: "People and things",
    found: "instances",
    score: "score",
    threshold: "score_threshold",
  },
  object_detection: { title: "Objects", found: "objects", score: "score", threshold: "score_threshold" },
};

/**
 * An image's entry, filtered. `masks` are those of its instances, in order; `settings` maps each task that is wanted to
 * its thresholds `{least, ofClass}`, of which the second are some labels' own. Also returns the masks that remain.
 */
export function filterImage(image, masks, settings) {
  const kept = (task) => {
    if (!(task in settings)) return [];
    const { found, score } = TASKS[task];
    const { least, ofClass } = settings[task];
    const passes = (one) => one[score] >= (ofClass[one.label] ?? least);
    return (image[found] ?? []).flatMap((one, index) => (passes(one) ? [index] : []));
  };
  const faces = kept("mask_detection");
  const instances = kept("instance_segmentation");
  const result = {
    ...image,
    faces: faces.map((index) => ({ ...image.faces[index], person: null })),
    instances: instances.map((index) => image.instances[index]),
    errors: image.errors.filter(({ task }) => !task || task in settings),
  };
  const remaining = instances.map((index) => masks[index]);
  result.people = remaining.every(Boolean)
    ? tie(result.faces, result.instances, remaining)
    : tiesThatRemain(image, faces, instances);
  for (const person of result.people) if (person.face !== null) result.faces[person.face].person = person.instance;
  if ("object_detection" in settings) result.objects = kept("object_detection").map((index) => image.objects[index]);
  else delete result.objects;
  return { image: result, masks: remaining };
}

/** The whole answer with its only image filtered. */
export function filterAnswer(answer, masks, settings) {
  const filtered = filterImage(answer.images[0], masks, settings);
  const models = Object.fromEntries(Object.entries(answer.models).filter(([task]) => task in settings));
  return { answer: { ...answer, images: [filtered.image], models }, masks: filtered.masks };
}

/** Ties each face to the person who holds it, as `serve_app/people.py` does. */
export function tie(faces, instances, masks) {
  const people = instances.map((_, index) => index).filter((index) => instances[index].label === "person");
  const pairs = [];
  faces.forEach(({ box }, face) => {
    const area = Math.max(0, box.right - box.left) * Math.max(0, box.bottom - box.top);
    for (const index of people) {
      if (area <= 0 || !overlaps(box, instances[index].box)) continue;
      const coverage = pixelsInBox(masks[index], box) / area;
      if (coverage >= LEAST_COVERAGE) pairs.push([-hundredths(coverage), instances[index].area, face, index]);
    }
  });
  pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  const faceOf = new Map();
  const taken = new Set();
  for (const [, , face, index] of pairs) {
    if (faceOf.has(index) || taken.has(face)) continue;
    faceOf.set(index, face);
    taken.add(face);
  }
  return people.map((instance) => person(instance, faceOf.get(instance) ?? null, faces));
}

/** Without masks nothing can be tied anew: the service's own ties, as far as both ends are left. */
function tiesThatRemain(image, faces, instances) {
  return image.people
    .filter(({ instance }) => instances.includes(instance))
    .map(({ instance, face }) => {
      const at = face === null ? -1 : faces.indexOf(face);
      return person(instances.indexOf(instance), at < 0 ? null : at, faces.map((index) => image.faces[index]));
    });
}

function person(instance, face, faces) {
  return { instance, face, mask: face === null ? null : faces[face].label };
}

function overlaps(one, other) {
  return (
    Math.min(one.right, other.right) > Math.max(one.left, other.left) &&
    Math.min(one.bottom, other.bottom) > Math.max(one.top, other.top)
  );
}

/** Rounded to hundredths, counted in them; what lies exactly between two goes to the even one, as in Python. */
function hundredths(value) {
  const exactTie = Number.isInteger(value * 8) && !Number.isInteger(value * 4);
  return exactTie ? 2 * Math.round((value * 100) / 2) : Math.round(Number(value.toFixed(2)) * 100);
}
