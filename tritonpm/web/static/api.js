// The REST API, which is all that this page changes anything with.
import { t } from "./say.js";

const API = "/api/v1";

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

export async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body instanceof Blob) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await reached(API + path, options);
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Refused(answer);
  return answer;
}

// A part of a page, as HTML.
export async function page(path, values) {
  const response = await reached(path, { method: "POST", body: values });
  if (!response.ok) throw new Refused(unreachable());
  return response.text();
}

// The one element that a page's part is.
export async function fragment(path) {
  const response = await reached(path, { headers: { "HX-Request": "true" } });
  if (!response.ok) throw new Refused(unreachable());
  return new DOMParser().parseFromString(await response.text(), "text/html").body.firstElementChild;
}

async function reached(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refused(unreachable());
  }
  if (response.status === 401) location.reload(); // the session is over, or the token is gone: the page asks who it is
  return response;
}

// A picture, null where there is none.
export async function picture(path) {
  const response = await reached(API + path, {});
  return response.ok ? createImageBitmap(await response.blob()) : null;
}

// With progress, which fetch does not tell; null where it was called off.
export function upload(path, file, progress, { signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", API + path);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Refused(request.response ?? unreachable()));
    });
    request.addEventListener("abort", () => resolve(null));
    signal?.addEventListener("abort", () => request.abort());
    request.addEventListener("error", () => reject(new Refused(unreachable())));
    request.send(file);
  });
}

export function packagePath(name, rest = "") {
  return `/packages/${encodeURIComponent(name)}${rest}`;
}

function unreachable() {
  return { title: t("The page's server does not answer"), detail: t("see whether tritonpm is still running") };
}
