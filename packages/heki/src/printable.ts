/** What a terminal could take for a command, or for another order of letters: controls, formats, line separators, lone surrogates. */
const HOSTILE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const NOT_IN_TEXT = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** `text` with characters that do not print as `\x1b` or `\u{202e}`: what files hold, and a terminal must not obey. */
export function printable(text: string): string {
  return HOSTILE.test(text) ? text.replace(NOT_IN_TEXT, escaped) : text;
}

/** JSON text with such characters as `\u001b`, which is the same JSON: they stand in strings alone. */
export function printableJson(json: string): string {
  return HOSTILE.test(json)
    ? json.replace(NOT_IN_TEXT, (character) =>
        [...Array(character.length).keys()]
          .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
          .join(''),
      )
    : json;
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
