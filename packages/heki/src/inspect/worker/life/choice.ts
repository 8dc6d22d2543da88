import type { Choice } from '@heki/inspector';

/** A machine as what can be chosen. */
export function choiceOf({ name, title }: Choice): Choice {
  return { name, title };
}
