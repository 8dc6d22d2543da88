import { COMMAND_LIMITS } from '../limits/command-limits.ts';

/**
 * What makes JSON too much to be parsed: values in values, or their number. Three bytes of text may take fifty times as
 * much memory, and what prints or validates a value calls itself for each level.
 *
 * @param mostValues objects, arrays, and elements of them
 * @returns what is too much and where, or `undefined`; whether the text is JSON at all it does not tell
 */
export function beyondJsonBounds(text: string, mostValues: number): string | undefined {
  let depth = 0;
  let values = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (quoted) {
      if (character === BACKSLASH) at++;
      else if (character === QUOTE) quoted = false;
      continue;
    }
    switch (character) {
      case QUOTE:
        quoted = true;
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        values++;
        if (++depth > COMMAND_LIMITS.jsonNesting) {
          return `at character ${at + 1}, arrays and objects are nested more than ${COMMAND_LIMITS.jsonNesting} deep`;
        }
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      case COMMA:
        values++;
        break;
    }
    if (values > mostValues) return `it has more than ${mostValues.toLocaleString('en-US')} values`;
  }
  return undefined;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
