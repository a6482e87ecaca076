// The photographs: a queue to the server, and the film below the stage.

import { say } from "./list.js";
import { forgetPhoto, sendPhoto } from "./server.js";
import { refresh, select, showState } from "./stage.js";
import { $, page } from "./state.js";

// ---------------------------------------------------------------- the queue

export function addFiles(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (files.length && !images.length) return say("These files are no photographs.");
  for (const file of images) {
    const photo = { file, name: file.name || "pasted", state: "waiting", sent: 0, masks: new Map() };
    page.photos.push(photo);
    addToFilm(photo);
  }
  if (images.length) select(page.photos[page.photos.length - images.length]);
  work();
}

export async function work() {
  const next = page.photos.find((photo) => photo.state === "waiting");
  if (!next || !page.model || page.lanes > page.model.workers) return updateProgress();
  page.lanes += 1;
  setState(next, "sending");
  work();
  try {
    if (next.file.size > page.model.max_bytes) {
      throw new Error(`${next.name} is larger than ${Math.round(page.model.max_bytes / 2 ** 20)} MiB.`);
    }
    const answer = await sendPhoto(next.file, (share) => {
      next.sent = share;
      setState(next, share < 1 ? "sending" : "running");
    });
    Object.assign(next, answer, { map: null });
    next.masks.clear();
    setState(next, "done");
    if (next === page.current) refresh();
  } catch (error) {
    if (error.retry) {
      setState(next, "pausing");
      setTimeout(() => { setState(next, "waiting"); work(); }, 1000 * error.retry);
    } else {
      next.error = error.message;
      setState(next, "failed");
    }
  } finally {
    page.lanes -= 1;
    work();
  }
}

export function setState(photo, state) {
  photo.state = state;
  const words = { waiting: "waiting", sending: "sending", running: "segmenting", pausing: "waiting", done: "ready", failed: "failed" };
  photo.item.dataset.state = state;
  photo.item.querySelector("button").setAttribute("aria-label", `${photo.name}, ${words[state]}`);
  if (photo === page.current) showState();
  updateProgress();
}

function updateProgress() {
  const open = page.photos.filter((photo) => !["done", "failed"].includes(photo.state)).length;
  $("progress").textContent = open && page.photos.length > 1 ? `${page.photos.length - open} of ${page.photos.length} ready` : "";
}

export function remove(photo) {
  if (photo.id) forgetPhoto(photo.id);
  const index = page.photos.indexOf(photo);
  page.photos.splice(index, 1);
  photo.item.remove();
  select(page.photos[Math.min(index, page.photos.length - 1)] ?? null);
}

// ---------------------------------------------------------------- the film

function addToFilm(photo) {
  const item = document.createElement("li");
  item.innerHTML = "<button type='button'><canvas width='96' height='72'></canvas></button>";
  item.querySelector("button").addEventListener("click", () => select(photo));
  photo.item = item;
  $("film").querySelector("ul").append(item);
  setState(photo, photo.state);
  decode(photo, 96).then((bitmap) => {
    const canvas = item.querySelector("canvas");
    const scale = Math.max(96 / bitmap.width, 72 / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (96 - width) / 2, (72 - height) / 2, width, height);
    bitmap.close();
  }, () => {});
}

export function decode(photo, width) {
  const options = width ? { resizeWidth: width, resizeQuality: "medium" } : {};
  return createImageBitmap(photo.file, options);
}
