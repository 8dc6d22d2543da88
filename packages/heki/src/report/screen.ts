import { type Colours, coloursFor } from '../colours.ts';
import type { Environment, Output } from '../io.ts';

/** What a text is laid out for. */
export interface Screen {
  readonly colours: Colours;
  /** Infinity where nothing has to fit. */
  readonly columns: number;
  /** Letters and signs beyond ASCII can be shown. */
  readonly unicode: boolean;
}

/** The width of a terminal that does not tell it. */
const USUAL_COLUMNS = 80;

/** What `output` can show. Files and pipes take lines of any length, unless COLUMNS says otherwise. */
export function screenOf(output: Output, env: Environment): Screen {
  const own = output.isTerminal ? output.columns : undefined;
  const wished = /^[1-9]\d{0,3}$/.test(env.COLUMNS ?? '') ? Number(env.COLUMNS) : undefined;
  return {
    colours: coloursFor(output, env),
    columns: own || wished || (output.isTerminal ? USUAL_COLUMNS : Number.POSITIVE_INFINITY),
    unicode: showsUnicode(output, env),
  };
}

/** As the locale says. A terminal of an unknown locale gets ASCII, as POSIX has it; a file UTF-8, as nearly all are. */
function showsUnicode(output: Output, env: Environment): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((one) => (one ?? '') !== '');
  if (locale === undefined) return !output.isTerminal || env.OS === 'Windows_NT';
  return /utf-?8/i.test(locale);
}
