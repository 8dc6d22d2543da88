import { randomInt } from 'node:crypto';
import picocolors from 'picocolors';
import type { Environment, Output } from './io.ts';
import { printable } from './printable.ts';

/** Functions that colour a text, or give it back as it is. */
export type Colours = Readonly<
  Record<'blue' | 'bold' | 'cyan' | 'dim' | 'green' | 'red' | 'yellow', (text: string | number) => string>
>;

/**
 * What tells a colour of ours from the same sequence in what a file holds: the author of a file cannot know it. It is part of the parameters, so
 * that whatever measures or wraps a text sees a sequence of no width.
 */
const SECRET = Array.from({ length: 3 }, () => randomInt(1000, 10_000)).join(';');
const OURS = new RegExp(`\\x1b\\[${SECRET};([\\d;]*)m`, 'g');
// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour begin with one
const PLAIN = /\x1b\[([\d;]*)m/g;

/** Marks every colour in `text` as ours. What is foreign in it must be {@link printable} already. */
export function withOwnColours(text: string): string {
  return text.replace(PLAIN, `\x1b[${SECRET};$1m`);
}

/** `text` as a terminal gets it: our colours, and nothing else that it would obey. */
export function released(text: string): string {
  if (!text.includes(SECRET)) return printable(text);
  const parts = text.split(OURS);
  // Every other part is the number of a colour.
  return parts.map((part, index) => (index % 2 === 0 ? printable(part) : `\x1b[${part}m`)).join('');
}

/** Colours for `output`: on a terminal, unless NO_COLOR is set (https://no-color.org); FORCE_COLOR wants them anywhere. */
export function coloursFor(output: Output, env: Environment): Colours {
  const forced = (env.FORCE_COLOR ?? '') !== '' && env.FORCE_COLOR !== '0';
  const refused = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb' || env.FORCE_COLOR === '0';
  const on = !refused && (forced || output.isTerminal);
  const { blue, bold, cyan, dim, green, red, yellow } = picocolors.createColors(on);
  const own =
    (colour: (text: string) => string) =>
    (text: string | number): string =>
      on ? withOwnColours(colour(released(String(text)))) : String(text);
  return {
    blue: own(blue),
    bold: own(bold),
    cyan: own(cyan),
    dim: own(dim),
    green: own(green),
    red: own(red),
    yellow: own(yellow),
  };
}
