/** Talks to the service that serves this page. What goes wrong is a ServiceError, in words. */

const WORDS = {
  unreadable_image: (name) => `${name} cannot be read as a picture`,
  unsupported_format: (name) => `${name} is not a kind of picture that the service reads`,
  image_too_large: (name) => `${name} has more pixels than the service takes`,
  body_too_large: (name) => `${name} is a larger file than the service takes`,
  unauthorized: () => "This service asks for an API key",
  overloaded: () => "The service is busy",
  too_many_requests: () => "This API key has used up its share for now",
  unavailable: () => "The models cannot answer right now",
  deadline_exceeded: (name) => `The answer for ${name} took longer than allowed`,
  not_found: () => "This service does not offer the API that the page needs",
  internal: (name) => `The service failed on ${name}`,
};
const CODE_OF_STATUS = { 401: "unauthorized", 408: "deadline_exceeded", 413: "body_too_large", 429: "overloaded" };
Object.assign(CODE_OF_STATUS, { 502: "unavailable", 503: "overloaded", 504: "deadline_exceeded", 500: "internal" });

/** `title` says it in a line, `message` is the service's own; `retryAfter` are seconds, where asking again may help. */
export class ServiceError extends Error {
  constructor(title, message = "", { status = 0, retryAfter = null } = {}) {
    super(message);
    this.title = title;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** GET a JSON document of the service. */
export async function getJson(path, key) {
  return (await ask(path, { headers: headers(key) }, "the page")).json();
}

/** POST a photo to /analyze with form fields [name, value]; the answer, and the milliseconds until it was here. */
export async function analyze(file, name, fields, { key, limits, signal }) {
  if (limits && file.size > limits.max_body_bytes) {
    const message = `It has ${megabytes(file.size)}; the limit is ${megabytes(limits.max_body_bytes)} a request.`;
    throw new ServiceError(WORDS.body_too_large(name), message, { status: 413 });
  }
  const form = new FormData();
  form.append("image", file, name);
  for (const [field, value] of fields) form.append(field, value);
  const started = performance.now();
  const response = await ask("analyze", { method: "POST", body: form, headers: headers(key), signal }, name);
  const text = await response.text();
  return { answer: JSON.parse(text), elapsed: performance.now() - started };
}

/** One of the photos that come with the page, as a file. */
export async function sampleFile(name) {
  const response = await ask(`web/samples/${name}`, {}, name);
  return new File([await response.blob()], name, { type: "image/jpeg" });
}

/** The words for a failure's entry `{code, message}` about a photo of this name. */
export function inWords({ code, message }, name) {
  return new ServiceError(titleOf(code, name), sentence(message), { status: 400 });
}

async function ask(path, options, name) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const message = "No connection came about, or it broke off. Is the service running, and the file still there?";
    throw new ServiceError("The service cannot be reached", message);
  }
  if (response.ok) return response;
  const told = await response.json().then(
    (body) => body.error ?? {},
    () => ({}), // a proxy's own error is no JSON
  );
  const { status } = response;
  const code = told.code in WORDS ? told.code : CODE_OF_STATUS[status];
  const wait = Number(response.headers.get("Retry-After"));
  throw new ServiceError(titleOf(code, name), sentence(told.message ?? `Status ${status}`), {
    status,
    retryAfter: [429, 503].includes(status) ? Math.max(1, wait || 1) : null,
  });
}

function titleOf(code, name) {
  return WORDS[code]?.(name) ?? "The service refused the request";
}

function headers(key) {
  return { Accept: "application/json", ...(key && { "X-API-Key": key }) };
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toLocaleString("en", { maximumSignificantDigits: 3 })} MB`;
}

/** With a capital, a full stop, and large numbers that can be read. */
function sentence(text) {
  const grouped = text
    .replace(/(\d{6,}) bytes/g, (_, bytes) => megabytes(bytes))
    .replace(/\d{5,}/g, (digits) => Number(digits).toLocaleString("en"));
  return grouped && grouped[0].toUpperCase() + grouped.slice(1) + (/[.!?]$/.test(grouped) ? "" : ".");
}
