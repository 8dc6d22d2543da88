import { released } from '../colours.ts';
import type { Environment, Output } from '../io.ts';
import { printableJson } from '../printable.ts';
import { ascii } from './ascii.ts';
import { fold } from './fold.ts';
import { screenOf } from './screen.ts';

/** An output that tells whether anything was written to it. */
export interface GuardedOutput extends Output {
  readonly begun: boolean;
}

/**
 * `output` as every command gets it: whatever text is written to it, a terminal meets nothing that it would obey but our own
 * colours, no sign that it cannot show, and no line that it would have to break. Bytes pass as they are.
 *
 * @param format of texts: those of `json` are one JSON value
 */
export function guardedOutput(output: Output, env: Environment, format: 'text' | 'json'): GuardedOutput {
  const { columns, unicode } = screenOf(output, env);
  const shown = (text: string): string => {
    if (format === 'json') return printableJson(text);
    const seen = released(text);
    const signs = unicode ? seen : ascii(seen);
    if (columns === Number.POSITIVE_INFINITY) return signs;
    return signs
      .split('\n')
      .flatMap((line) => fold(line.replaceAll('\t', '    '), columns))
      .join('\n');
  };
  let begun = false;
  return {
    isTerminal: output.isTerminal,
    columns: output.columns,
    write(data) {
      begun ||= data.length > 0;
      return output.write(typeof data === 'string' ? shown(data) : data);
    },
    get begun() {
      return begun;
    },
  };
}
