import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';

/** A label with its column of spaces, to which what belongs to it is indented: `  kernel     `. */
const LABEL = /^ *\S+(?: \S+)* {2,}(?=\S)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour begin with one
const COLOUR = /\x1b\[[\d;]*m/g;

/** The columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/**
 * `line` in lines of at most `columns`, parted between words; what follows the first stands under its text. Only a word that is wider than
 * a line is cut.
 */
export function fold(line: string, columns: number): string[] {
  if (line.length <= columns && /^[ -~]*$/.test(line)) return [line];
  if (widthOf(line) <= columns) return [line];
  const plain = line.replace(COLOUR, '');
  const indent = plain.search(/\S|$/);
  const label = LABEL.exec(plain)?.[0].length ?? 0;
  const isLabelled = label > 0 && label <= columns / 2;
  const hang = isLabelled ? label : Math.min(indent + 2, Math.floor(columns / 3));
  const [head, body] = splitAt(line, isLabelled ? label : Math.min(indent, hang));
  const [first = '', ...others] = wrapAnsi(body, columns - hang, { hard: true }).split('\n');
  return [`${head}${first}`, ...others.map((other) => `${' '.repeat(hang)}${other}`)];
}

/** Parts `text` behind so many characters that are seen. */
function splitAt(text: string, count: number): [string, string] {
  let at = 0;
  for (let seen = 0; seen < count; ) {
    COLOUR.lastIndex = at;
    const colour = text[at] === '\x1b' ? COLOUR.exec(text) : null;
    if (colour?.index === at) {
      at += colour[0].length;
    } else {
      at++;
      seen++;
    }
  }
  return [text.slice(0, at), text.slice(at)];
}
