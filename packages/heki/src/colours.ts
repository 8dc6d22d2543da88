import picocolors from 'picocolors';
import type { Environment, Output } from './io.ts';

/** Functions that colour a text, or give it back as it is. */
export type Colours = ReturnType<typeof picocolors.createColors>;

/** Colours for `output`: on a terminal, unless NO_COLOR is set (https://no-color.org); FORCE_COLOR wants them anywhere. */
export function coloursFor(output: Output, env: Environment): Colours {
  const forced = (env.FORCE_COLOR ?? '') !== '' && env.FORCE_COLOR !== '0';
  const refused = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  return picocolors.createColors(!refused && (forced || output.isTerminal));
}
