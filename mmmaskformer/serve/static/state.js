// What all parts of the page know.

export const $ = (id) => document.getElementById(id);
export const THRESHOLDS = ["object_threshold", "overlap_threshold"];
/** The thresholds that a view depends on; those of the panoptic view are the model's. */
export const USED = { panoptic: THRESHOLDS, semantic: [], queries: ["object_threshold"] };
export const TITLES = { panoptic: "Segments", semantic: "Classes", queries: "Queries" };

export const page = {
  model: null,
  photos: [], // { file, name, state, sent, error, id, grid, map, masks, item }
  current: null,
  view: null,
  pinned: null, // id of the entry that stays marked
  hovered: null,
  bare: false, // the photograph alone
  lanes: 0, // photographs that are on their way
  asking: null, // the request for the current map
  shown: null, // [photograph, width] of what is in the canvas `photo`
};
