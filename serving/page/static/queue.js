// Runs a few things at a time, in their order.

// As many files as app.py holds at a time (_BODIES): more would be refused where they are large.
const AT_ONCE = 2;
const waiting = [];
let running = 0;

// Returns the result of a function that returns a promise; `first` lets it pass those that wait.
export function queued(task, first = false) {
  return new Promise((done, failed) => {
    const entry = () => task().then(done, failed).finally(() => { running -= 1; next(); });
    if (first) waiting.unshift(entry);
    else waiting.push(entry);
    next();
  });
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift()();
  }
}
