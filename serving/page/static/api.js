// What the page asks its own server; errors are thrown as problems.py writes them: {kind, message, details, again}.

const AWAY = { kind: "page", message: "This page's own server does not answer; is it still running?", details: "", again: true };

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw AWAY;
  }
  if (answer.ok) return answer;
  let problem;
  try {
    problem = await answer.json();
  } catch {
    problem = { kind: "page", message: `This page's own server answered with ${answer.status}.`, details: "", again: false };
  }
  throw problem;
}

async function send(path, file, query = "") {
  const readable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (!readable) throw { kind: "file", message: "The browser cannot read this file any more: it was moved, changed, or is a folder.", details: "", again: false };
  const headers = { "Content-Type": "application/octet-stream" };
  return ask(`/api/${path}${query}`, { method: "POST", body: file, headers });
}

export const models = async () => (await ask("/api/models")).json();

// Grey levels of a file as its reader sees them: {width, height, original, levels}.
export async function picture(file) {
  const answer = await send("picture", file);
  const [width, height] = answer.headers.get("Picture-Size").split("x").map(Number);
  return { width, height, original: answer.headers.get("Original-Size"), levels: new Uint8Array(await answer.arrayBuffer()) };
}

export const prediction = async (file, model) => (await send("prediction", file, `?${new URLSearchParams({ model })}`)).json();

// Which regions speak for a class: {prediction, explained, maps}; index -1: the predicted class.
export async function heatMap(file, model, index) {
  const told = await (await send("heat-map", file, `?${new URLSearchParams({ model, index })}`)).json();
  for (const map of Object.values(told.maps)) map.levels = Uint8Array.from(atob(map.levels), (letter) => letter.charCodeAt(0));
  return told;
}
