/** The photos of this visit and their way through the service: a few requests at once, again after an overload. */

import { readMask } from "./masks.js";
import { ServiceError, analyze, inWords } from "./service.js";

const AT_ONCE = 3;
const MOST_TRIES = 6;

/**
 * Photos in order, each `{name, file, url, state, answer, masks, form, elapsed, error, retryAt}` with a state of
 * waiting, sent, busy (to be sent again at `retryAt`), done or failed. `request()` promises what all are asked with:
 * `{fields, form, key, limits}`; `onChange(photo)` is told of every change.
 */
export class Photos {
  constructor(request, onChange) {
    this.all = [];
    this.request = request;
    this.onChange = onChange;
  }

  add(files) {
    const added = files.map((file) => ({
      name: file.name || "photo",
      file,
      url: URL.createObjectURL(file),
      tries: 0,
    }));
    this.all.push(...added);
    added.forEach((photo) => this.send(photo));
    return added;
  }

  /** Ask, or ask anew. */
  send(photo) {
    photo.abort?.abort();
    clearTimeout(photo.timer);
    Object.assign(photo, { state: "waiting", error: null, tries: 0 });
    this.onChange(photo);
    this.#next();
  }

  clear() {
    for (const photo of this.all) {
      photo.abort?.abort();
      clearTimeout(photo.timer);
      URL.revokeObjectURL(photo.url);
    }
    this.all = [];
  }

  #next() {
    const sent = this.all.filter(({ state }) => state === "sent").length;
    const waiting = this.all.filter(({ state }) => state === "waiting");
    waiting.slice(0, Math.max(0, AT_ONCE - sent)).forEach((photo) => this.#ask(photo));
  }

  async #ask(photo) {
    const abort = new AbortController();
    Object.assign(photo, { state: "sent", abort, tries: photo.tries + 1 });
    this.onChange(photo);
    try {
      const { fields, form, key, limits } = await this.request();
      const { answer, elapsed } = await analyze(photo.file, photo.name, fields, { key, limits, signal: abort.signal });
      const [image] = answer.images;
      const failure = image.errors.find(({ task }) => !task);
      if (failure) throw inWords(failure, photo.name);
      const masks = await Promise.all(image.instances.map(({ mask }) => readMask(mask, image.height, image.width)));
      if (abort.signal.aborted) return;
      Object.assign(photo, { state: "done", answer, masks, form, elapsed });
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#failed(photo, error);
    }
    this.onChange(photo);
    this.#next();
  }

  #failed(photo, error) {
    const inWords = error instanceof ServiceError;
    const told = inWords ? error : new ServiceError("The answer could not be read", error.message);
    Object.assign(photo, { state: "failed", error: told });
    if (told.retryAfter === null || photo.tries >= MOST_TRIES) return;
    Object.assign(photo, { state: "busy", retryAt: Date.now() + told.retryAfter * 1000 });
    photo.timer = setTimeout(() => {
      photo.state = "waiting";
      this.onChange(photo);
      this.#next();
    }, told.retryAfter * 1000);
  }
}
