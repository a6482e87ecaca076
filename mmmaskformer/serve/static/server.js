// What the page asks of the server.

/** An answer that says no: `status` of HTTP, `retry` in seconds or null. */
export class ServerError extends Error {
  constructor(status, text, retry) {
    super(text);
    this.status = status;
    this.retry = retry;
  }
}

function failure(status, body, retry) {
  let text = status ? `The server answered ${status}.` : "The server can not be reached.";
  try {
    text = JSON.parse(body).error;
  } catch { /* not from the application */ }
  return new ServerError(status, text, retry ? Number(retry) : null);
}

async function get(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw failure(0, "", null);
  }
  if (response.ok) return response;
  throw failure(response.status, await response.text(), response.headers.get("retry-after"));
}

export const getModel = async () => (await get("/model")).json();

/** Send a file. `onSent(share)` hears how much of it has gone. The answer is that of /photos. */
export function sendPhoto(file, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch can not tell how far an upload is
    request.open("POST", "/photos");
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.upload.onload = () => onSent(1);
    request.onerror = () => reject(failure(0, "", null));
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText));
      else reject(failure(request.status, request.responseText, request.getResponseHeader("retry-after")));
    };
    const form = new FormData();
    form.append("file", file, file.name || "photograph");
    request.send(form);
  });
}

export function forgetPhoto(id) {
  fetch(`/photos/${id}`, { method: "DELETE" }).catch(() => {});
}

/** Where a view is: kind is "map", "ids.png" or "result.json". */
export function viewUrl(id, kind, view, thresholds, extra = {}) {
  return `/photos/${id}/${kind}?${new URLSearchParams({ view, ...thresholds, ...extra })}`;
}

/** The ids of a view's pixels, and what they stand for: { width, height, entries, ids }. */
export async function getMap(id, view, thresholds, { full = false, signal } = {}) {
  const response = await get(viewUrl(id, "map", view, thresholds, { full }), signal);
  const buffer = await response.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { ...head, view, ids: new Uint16Array(buffer, 4 + length) };
}

/** The mask of a query, probabilities times 255. */
export async function getQuery(id, number) {
  return new Uint8Array(await (await get(`/photos/${id}/queries/${number}`)).arrayBuffer());
}
