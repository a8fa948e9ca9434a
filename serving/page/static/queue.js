// Runs a few things at a time, in their order.

class Queue {
  constructor(atOnce) {
    Object.assign(this, { atOnce, waiting: [], running: 0 });
  }

  // Returns the result of a function that returns a promise; `owner`: see forget; `first` lets it pass those that wait.
  add(task, owner, first = false) {
    return new Promise((done, failed) => {
      const run = () => task().then(done, failed).finally(() => { this.running -= 1; this.next(); });
      if (first) this.waiting.unshift({ run, failed, owner });
      else this.waiting.push({ run, failed, owner });
      this.next();
    });
  }

  // What has not begun fails with this error.
  drop(error) {
    this.waiting.splice(0).forEach(({ failed }) => failed(error));
  }

  // What has not begun of this owner never will, nor fail.
  forget(owner) {
    this.waiting = this.waiting.filter((task) => task.owner !== owner);
  }

  next() {
    while (this.running < this.atOnce && this.waiting.length) {
      this.running += 1;
      this.waiting.shift().run();
    }
  }
}

// Together as many files as app.py holds at a time (_BODIES): more would be refused where they are large.
export const pictures = new Queue(1); // needs no model: never waits behind a question that nobody answers
export const questions = new Queue(2);
