/** When the processors other than the one that the kernel runs on have their turn. */
export interface Turns {
  /** They have it now. */
  readonly taken: boolean;
  /** Gives it to them, unless they have it already. */
  take(): void;
}

/** @param interleave what they do; nothing where they are not modelled */
export function createTurns(interleave: (() => void) | undefined): Turns {
  let taken = false;
  return {
    get taken() {
      return taken;
    },
    take() {
      if (interleave === undefined || taken) return;
      taken = true;
      try {
        interleave();
      } finally {
        taken = false;
      }
    },
  };
}
