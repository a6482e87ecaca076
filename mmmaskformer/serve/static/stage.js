// The photograph on the stage, with one view of it.

import { say, showList, showMarked, summarize } from "./list.js";
import { paintMap, paintQuery, writeNames } from "./picture.js";
import { decode, setState, work } from "./queue.js";
import { getMap, getQuery } from "./server.js";
import { $, TITLES, USED, page } from "./state.js";

// ---------------------------------------------------------------- the stage

export function select(photo) {
  page.current = photo;
  page.pinned = page.hovered = null;
  for (const other of page.photos) {
    other.item.querySelector("button").setAttribute("aria-current", String(other === photo));
  }
  photo?.item.scrollIntoView({ block: "nearest", inline: "nearest" });
  $("empty").hidden = photo !== null;
  $("frame").hidden = photo === null;
  $("controls").hidden = photo === null;
  $("film").hidden = page.photos.length < 2;
  document.body.classList.toggle("has-photo", photo !== null);
  if (!photo) return;
  clearPicture();
  if (photo.map) {
    showList(photo.map);
    draw();
  }
  showPhoto(photo);
  showState();
  if (photo.state === "done") refresh();
}

function clearPicture() {
  for (const name of ["paint", "words"]) $(name).getContext("2d").clearRect(0, 0, 1e5, 1e5);
  $("list").replaceChildren();
  $("list-title").textContent = TITLES[page.view];
  $("downloads").hidden = true;
  $("tip").hidden = true;
}

/** Draw the photograph in the size of its map; before there is one, in a size of its own. */
async function showPhoto(photo) {
  const size = photo.map ? [photo.map.width, photo.map.height] : null;
  if (page.shown && page.shown[0] === photo && (!size || page.shown[1] === size[0])) return;
  let bitmap = null;
  try {
    bitmap = await decode(photo);
  } catch {
    if (!size) return;
  }
  if (photo !== page.current) return bitmap?.close();
  const scale = bitmap ? Math.min(1, 1400 / Math.max(bitmap.width, bitmap.height)) : 1;
  const canvas = $("photo");
  [canvas.width, canvas.height] = size ?? [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  if (bitmap) {
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  }
  page.shown = [photo, canvas.width];
  fit();
  draw();
}

/** Give the picture the largest size that fits into the stage. */
export function fit() {
  const canvas = $("photo");
  document.body.style.setProperty("--ratio", canvas.height / canvas.width);
  const room = $("frame").getBoundingClientRect();
  const scale = Math.min(room.width / canvas.width, room.height / canvas.height);
  $("picture").style.width = `${Math.floor(canvas.width * scale)}px`;
  $("picture").style.height = `${Math.floor(canvas.height * scale)}px`;
}

export function showState() {
  const { state, error, sent } = page.current;
  const texts = { waiting: "Waiting…", pausing: "The server is busy. Waiting…", sending: "Sending…", running: "Segmenting…", failed: error };
  $("state").hidden = state === "done";
  $("state").dataset.state = state;
  $("state-text").textContent = texts[state] ?? "";
  $("again").hidden = state !== "failed";
  $("bar").hidden = state === "failed";
  if (state === "sending" && sent < 1) $("bar").value = sent;
  else $("bar").removeAttribute("value");
  if (state === "failed") say(error);
}

// ---------------------------------------------------------------- the view

export const thresholds = () => Object.fromEntries(USED[page.view].map((name) => [name, Number($(name).value) / 100]));

/** Ask for the current view. While an answer is on its way the newest wish waits, and no other. */
export async function refresh() {
  if (page.asking) {
    page.asking.again = true;
    return;
  }
  if (!page.current || page.current.state !== "done") return;
  const photo = page.current;
  const wish = page.asking = { again: false };
  try {
    const map = await getMap(photo.id, page.view, thresholds());
    if (map.view === page.view && photo === page.current) {
      const first = !photo.map;
      photo.map = map;
      if (page.pinned !== null && !map.entries.some((entry) => entry.id === page.pinned)) page.pinned = null;
      page.hovered = null;
      await showPhoto(photo);
      draw();
      showList(map);
      summarize(photo, first);
    }
  } catch (error) {
    if (error.status === 404) { // the server keeps a few photographs only
      photo.id = null;
      setState(photo, "waiting");
      work();
    } else say(error.message);
  } finally {
    page.asking = null;
    if (wish.again || photo !== page.current) refresh();
  }
}

export const marked = () => page.hovered ?? page.pinned;

/** Paint what there is; called for every change of opacity and of what is marked. */
export function draw() {
  cancelAnimationFrame(draw.frame);
  draw.frame = requestAnimationFrame(() => {
    const map = page.current?.map;
    if (!map) return;
    const mark = marked();
    const opacity = page.bare ? 0 : Number($("opacity").value) / 100;
    $("photo").classList.toggle("grey", map.view === "queries" && !page.bare);
    const mask = map.view === "queries" && mark !== null && !page.bare ? page.current.masks.get(mark) : null;
    if (mask) {
      const { color } = map.entries.find((entry) => entry.id === mark);
      paintQuery($("paint"), mask, page.current.grid, color, opacity);
    } else paintMap($("paint"), map, opacity, mark);
    drawNames(map, mark);
  });
}

function drawNames(map, mark) {
  const box = $("picture").getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const canvas = $("words");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  if ($("names").checked && !page.bare) writeNames(canvas, map, 12 * ratio, mark);
}

export async function mark(id) {
  if (page.hovered === id) return;
  page.hovered = id;
  showMarked();
  draw();
  const photo = page.current;
  const entry = photo.map?.entries.find((other) => other.id === marked());
  if (photo.map?.view !== "queries" || !entry || photo.masks.has(entry.id)) return;
  try {
    photo.masks.set(entry.id, await getQuery(photo.id, entry.query));
    if (marked() === entry.id) draw();
  } catch { /* the next map will say what is wrong */ }
}

export function pin(id) {
  page.pinned = page.pinned === id ? null : id;
  showMarked();
  draw();
}
