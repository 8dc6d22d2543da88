/** What stands for the signs of our own texts, each by one character, so that columns stay where they are. */
const SIGNS: Readonly<Record<string, string>> = {
  '✔': '+',
  '✘': 'x',
  '↻': '~',
  '–': '-',
  '→': '>',
  '█': '#',
  '│': '|',
  '─': '-',
  '…': '.',
};
/** Corners and crossings of tables. */
const BOX = /[\u2500-\u257f]/;

/** `text` for a terminal that shows ASCII alone: what has no sign there is written by its number, `\u{e9}`. */
export function ascii(text: string): string {
  return /^[\p{ASCII}]*$/u.test(text)
    ? text
    : text.replace(
        /\P{ASCII}/gu,
        (sign) => SIGNS[sign] ?? (BOX.test(sign) ? '+' : `\\u{${(sign.codePointAt(0) ?? 0).toString(16)}}`),
      );
}
