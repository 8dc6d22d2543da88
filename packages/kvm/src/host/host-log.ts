/** Lines of one kind that a rate-limited message may write in one interval: Linux's default burst. */
const BURST = 10;
/**
 * Exits that make one interval. Linux counts five seconds; the model has no clock, and what a guest can flood the log
 * with are its exits.
 */
const INTERVAL = 1000;

/** The host's kernel log. */
export interface HostLog {
  /** Whether anybody reads it: build no text otherwise. */
  readonly read: boolean;
  /** Writes a line. */
  line(text: string): void;
  /** Writes a line unless too many with this key were written lately. `text` is called only when it is. */
  limited(key: string, text: () => string): void;
  /** An exit took place: what rate limits count. */
  tick(): void;
}

/** A log whose lines go to `write`. */
export function createHostLog(write: ((text: string) => void) | undefined): HostLog {
  let exits = 0;
  const kinds = new Map<string, { since: number; lines: number; suppressed: number }>();
  return {
    read: write !== undefined,
    line: (text) => write?.(text),
    limited(key, text) {
      if (write === undefined) return;
      let kind = kinds.get(key);
      if (kind === undefined) {
        kind = { since: exits, lines: 0, suppressed: 0 };
        kinds.set(key, kind);
      } else if (exits - kind.since >= INTERVAL) {
        if (kind.suppressed > 0) write(`heki: ${kind.suppressed} messages suppressed`);
        kind.since = exits;
        kind.lines = 0;
        kind.suppressed = 0;
      }
      if (kind.lines < BURST) {
        kind.lines++;
        write(text());
      } else {
        kind.suppressed++;
      }
    },
    tick: () => {
      exits++;
    },
  };
}
