/**
 * Instance masks in the browser. Whatever form the service sent becomes
 * `{height, width, spans}`: spans are [start, end) pairs of positions in column-major order, as in COCO's RLE.
 */

/** The mask of an instance's entry: COCO RLE, polygons or a PNG; null where the answer holds none. */
export async function readMask(mask, height, width) {
  if (!mask) return null;
  if (typeof mask === "string") return fromPng(mask);
  return Array.isArray(mask) ? fromPolygons(mask, height, width) : fromRle(mask);
}

/** From COCO's compressed RLE: 5 bits a character, runs from the third on as their difference to the one two before. */
export function fromRle({ size: [height, width], counts }) {
  const runs = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0;
    let bits = 0;
    let more = true;
    while (more) {
      const code = counts.charCodeAt(at++) - 48;
      if (!(code >= 0 && code < 64) || bits > 25) throw new Error("the mask's counts are malformed");
      value |= (code & 31) << bits;
      bits += 5;
      more = (code & 32) !== 0;
      if (!more && code & 16) value |= -1 << bits;
    }
    runs.push(runs.length > 2 ? value + runs.at(-2) : value);
  }
  const spans = [];
  let position = 0;
  runs.forEach((run, index) => {
    if (run < 0) throw new Error("the mask's counts are malformed");
    if (index % 2 && run) spans.push(position, position + run);
    position += run;
  });
  if (position !== height * width) throw new Error("the mask's counts do not fit its size");
  return { height, width, spans };
}

/** From polygons along pixel edges: in each column, every horizontal edge begins or ends a span. */
export function fromPolygons(polygons, height, width) {
  const crossings = new Map();
  for (const { exterior, holes } of polygons) {
    for (const ring of [exterior, ...holes]) {
      ring.forEach(([x, y], index) => {
        const [nextX, nextY] = ring[(index + 1) % ring.length];
        if (y !== nextY) return;
        for (let column = Math.min(x, nextX); column < Math.max(x, nextX); column++) {
          if (!crossings.has(column)) crossings.set(column, []);
          crossings.get(column).push(y);
        }
      });
    }
  }
  const spans = [];
  for (const column of [...crossings.keys()].sort((a, b) => a - b)) {
    for (const y of crossings.get(column).sort((a, b) => a - b)) spans.push(column * height + y);
  }
  return { height, width, spans };
}

/** From a grey PNG as a data URI, 255 inside. */
async function fromPng(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const spans = [];
  let inside = false;
  for (let position = 0; position < width * height; position++) {
    const x = Math.floor(position / height);
    if (data[((position - x * height) * width + x) * 4] > 127 === inside) continue;
    inside = !inside;
    spans.push(position);
  }
  if (inside) spans.push(width * height);
  return { height, width, spans };
}

/** Number of mask pixels whose centres lie in a box. */
export function pixelsInBox(mask, box) {
  const within = (value, most) => Math.min(Math.max(Math.ceil(value - 0.5), 0), most);
  const [left, right] = [within(box.left, mask.width), within(box.right, mask.width)];
  const [top, bottom] = [within(box.top, mask.height), within(box.bottom, mask.height)];
  let pixels = 0;
  for (const [x, start, end] of intervals(mask)) {
    if (x >= left && x < right) pixels += Math.max(0, Math.min(end, bottom) - Math.max(start, top));
  }
  return pixels;
}

/** The mask's intervals [x, top, bottom), column by column, from above. */
function* intervals({ height, spans }) {
  for (let index = 0; index < spans.length; index += 2) {
    for (let start = spans[index]; start < spans[index + 1]; ) {
      const x = Math.floor(start / height);
      const end = Math.min(spans[index + 1], (x + 1) * height);
      yield [x, start - x * height, end - x * height];
      start = end;
    }
  }
}

/**
 * The mask's outline along pixel edges as an SVG path, to be filled by the even-odd rule.
 *
 * Takes time in proportion to the spans, not to the pixels: edges run with the mask on their right, and each ends where
 * another starts.
 */
export function outline(mask) {
  const columns = new Map();
  for (const [x, top, bottom] of intervals(mask)) {
    if (!columns.has(x)) columns.set(x, []);
    columns.get(x).push(top, bottom);
  }
  const edges = new Map();
  const stride = mask.height + 1;
  const add = (x, y, nextX, nextY) => {
    const start = x * stride + y;
    const end = nextX * stride + nextY;
    if (edges.has(start)) edges.get(start).push(end);
    else edges.set(start, [end]);
  };
  for (const [x, own] of columns) {
    for (let index = 0; index < own.length; index += 2) {
      add(x, own[index], x + 1, own[index]);
      add(x + 1, own[index + 1], x, own[index + 1]);
    }
    const before = columns.get(x - 1) ?? [];
    for (const [top, bottom] of difference(own, before)) add(x, bottom, x, top);
    for (const [top, bottom] of difference(before, own)) add(x, top, x, bottom);
    if (!columns.has(x + 1)) for (const [top, bottom] of difference(own, [])) add(x + 1, top, x + 1, bottom);
  }
  return rings(edges, stride);
}

/** What lies in the one list of boundaries and not in the other: intervals [top, bottom). */
function* difference(inside, outside) {
  const ends = [...new Set([...inside, ...outside])].sort((a, b) => a - b);
  const covers = (list, y) => {
    for (let index = 0; index < list.length; index += 2) if (list[index] <= y && y < list[index + 1]) return true;
    return false;
  };
  for (let index = 0; index + 1 < ends.length; index++) {
    if (covers(inside, ends[index]) && !covers(outside, ends[index])) yield [ends[index], ends[index + 1]];
  }
}

function rings(edges, stride) {
  const path = [];
  for (const [first] of edges) {
    while (edges.has(first)) {
      const points = [];
      let at = first;
      do {
        points.push(at);
        const ends = edges.get(at);
        const next = ends.pop();
        if (!ends.length) edges.delete(at);
        at = next;
      } while (at !== first);
      path.push(`M${corners(points, stride)}Z`);
    }
  }
  return path.join("");
}

/** A ring's points without those in the middle of a straight side. */
function corners(points, stride) {
  const x = (point) => Math.floor(point / stride);
  const y = (point) => point % stride;
  return points
    .filter((point, index) => {
      const [before, after] = [points.at(index - 1), points[(index + 1) % points.length]];
      return !((x(before) === x(point) && x(point) === x(after)) || (y(before) === y(point) && y(point) === y(after)));
    })
    .map((point) => `${x(point)} ${y(point)}`)
    .join("L");
}
