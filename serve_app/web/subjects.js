/** What an image's entry is about: one subject for everybody and everything, in the list and on the photo. */

// As deployments/imaging/draw.py has them.
const COLORS = [
  ["#4084f4", "#f5a623", "#9b51e0", "#2dc8dc", "#ec64af"],
  ["#f0d73c", "#5f5ac8", "#aa7d55", "#78afe6", "#be96f0"],
].flat();
export const VERDICTS = {
  MASK: { text: "Mask", state: "mask" },
  "NO MASK": { text: "No mask", state: "bare" },
};

/**
 * Subjects `{title, score, color, box, mask, face, verdict}` of a filtered image: people with the face tied to them,
 * faces of nobody who was outlined, things, and the boxes of a third model.
 */
export function subjectsOf(image, masks, facesWanted) {
  const faceOf = new Map(image.people.map(({ instance, face }) => [instance, face]));
  const count = new Map();
  const numbered = (label) => {
    count.set(label, (count.get(label) ?? 0) + 1);
    return `${label[0].toUpperCase()}${label.slice(1)} ${count.get(label)}`;
  };
  const people = [];
  const things = [];
  image.instances.forEach((instance, index) => {
    const isPerson = faceOf.has(index);
    const face = isPerson && faceOf.get(index) !== null ? image.faces[faceOf.get(index)] : null;
    (isPerson ? people : things).push({
      title: numbered(instance.label),
      score: instance.score,
      color: COLORS[index % COLORS.length],
      box: instance.box,
      mask: masks[index],
      face,
      isPerson,
      verdict: verdictOf(face, isPerson && facesWanted),
    });
  });
  const faces = image.faces
    .filter(({ person }) => person === null)
    .map((face) => ({ title: numbered("face"), score: face.face_score, face, verdict: verdictOf(face, true) }));
  const objects = (image.objects ?? []).map(({ label, label_id: id, score, box }) => ({
    title: numbered(label),
    score,
    box,
    color: COLORS[id % COLORS.length],
  }));
  return [...people, ...faces, ...things, ...objects];
}

function verdictOf(face, wanted) {
  if (!face) return wanted ? { text: "Face not seen", state: "unseen" } : null;
  const { text, state } = VERDICTS[face.label] ?? { text: face.label, state: "unseen" };
  return { text, state, share: percent(face.confidence) };
}

/** How many there are, and who wears a mask, in a sentence: `{people, masked, bare, unseen}` counts and `text`. */
export function summaryOf(image, subjects, facesWanted) {
  const people = subjects.filter(({ isPerson, face }) => isPerson || face);
  const states = people.map(({ verdict }) => verdict?.state);
  const number = (state) => states.filter((each) => each === state).length;
  const counts = { people: people.length, masked: number("mask"), bare: number("bare"), unseen: number("unseen") };
  const text = people.length ? (people.length === 1 ? "One person" : `${people.length} people`) : "Nobody found";
  const parts = [];
  if (facesWanted && people.length) {
    if (people.length === 1) parts.push({ mask: "wears a mask", bare: "wears no mask" }[states[0]] ?? "face not seen");
    else {
      if (counts.masked) parts.push(`${counts.masked} with a mask`);
      if (counts.bare) parts.push(`${counts.bare} without${counts.masked ? "" : " a mask"}`);
      if (counts.unseen) parts.push(`${counts.unseen} face${counts.unseen > 1 ? "s" : ""} not seen`);
    }
  }
  return { ...counts, title: text, detail: parts.join(", "), text: [text, ...parts].join(", ") };
}

export function percent(share) {
  return `${Math.round(share * 100)}%`;
}
