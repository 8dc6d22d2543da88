import { released } from '../colours.ts';
import type { Environment, Output } from '../io.ts';
import { printableJson } from '../printable.ts';
import { ascii } from './ascii.ts';
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
  const signs = (text: string): string => {
    const seen = released(text);
    return unicode ? seen : ascii(seen);
  };
  const isFolded = format === 'text' && columns !== Number.POSITIVE_INFINITY;
  /** Loaded where lines have to fit: to compile what knows the width of every sign takes as long as a small command. */
  let folding: Promise<typeof import('./fold.ts')> | undefined;
  const writeFolded = async (data: string | Uint8Array): Promise<void> => {
    folding ??= import('./fold.ts');
    // Bytes wait, too, for the texts before them.
    const { fold } = await folding;
    const lines = (text: string): string[] =>
      signs(text)
        .split('\n')
        .flatMap((line) => fold(line.replaceAll('\t', '    '), columns));
    return output.write(typeof data === 'string' ? lines(data).join('\n') : data);
  };
  const shown = (text: string): string => (format === 'json' ? printableJson(text) : signs(text));
  let begun = false;
  return {
    isTerminal: output.isTerminal,
    columns: output.columns,
    write(data) {
      begun ||= data.length > 0;
      if (isFolded) return writeFolded(data);
      return output.write(typeof data === 'string' ? shown(data) : data);
    },
    get begun() {
      return begun;
    },
  };
}
