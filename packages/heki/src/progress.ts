import { SingleBar } from 'cli-progress';
import type { CommandIo } from './io.ts';

/** A bar on standard error for work that takes longer than a second. */
export interface Progress {
  /** `done` of the total is done, and `now` is being done. */
  readonly update: (done: number, now?: string) => void;
  /** Takes the bar away. */
  readonly stop: () => void;
}

const SHOWN_AFTER_MS = 1000;

/** A bar that appears after a second, and only where a person is looking. */
export function createProgress(
  io: CommandIo,
  work: { readonly what: string; readonly total: number },
): Progress {
  if (!io.stderr.isTerminal) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({
    format: `${work.what} {bar} {percentage}% {now}`,
    stream: process.stderr,
    barsize: 24,
    clearOnComplete: true,
    // Whoever stops the command by a signal must find the terminal as it was. The work does not give way to a handler, so
    // nothing of it is changed: the cursor stays, and what is too long for a line is cut.
    hideCursor: false,
    linewrap: true,
    gracefulExit: false,
    // The work does not give way to timers: the bar is drawn by update().
    noTTYOutput: false,
    synchronousUpdate: true,
  });
  const begun = Date.now();
  let shown = false;
  return {
    update(done, now = '') {
      if (!shown) {
        if (Date.now() - begun < SHOWN_AFTER_MS) return;
        bar.start(work.total, done, { now });
        shown = true;
      }
      bar.update(done, { now });
    },
    stop() {
      if (shown) bar.stop();
    },
  };
}
