import type { Random } from './random.ts';

/** Words that parsers trip over. */
const WORDS = [
  '-1',
  '0',
  '0x',
  '1e400',
  '9007199254740993',
  'ffffffffffffffff',
  'fffffffff000',
  '18446744073709551616',
  '\u001b[2J\u001b]0;taken\u0007',
  '\u0000',
  '\ufeff',
  '\u2028',
  '__proto__',
  '%s%n',
  '../../../../etc/passwd',
  '"',
  '\\',
  '{',
  ']',
  '\r\n',
] as const;

/** A text that differs from `text` in some places: bytes, words, lines, or its end. */
export function mutateText(text: string, random: Random): string {
  let result = text;
  for (let left = 1 + random.nat(4); left > 0; left--) {
    const at = random.nat(result.length + 1);
    const until = at + random.nat(12);
    const lines = result.split('\n');
    const line = random.nat(lines.length);
    result = random.of([
      () => result.slice(0, at) + random.of(WORDS) + result.slice(until),
      () => result.slice(0, at) + String.fromCharCode(random.nat(0x180)) + result.slice(at + 1),
      () => result.slice(0, at) + result.slice(until),
      () => result.slice(0, at),
      () => lines.toSpliced(line, 1).join('\n'),
      () => lines.toSpliced(random.nat(lines.length), 0, lines[line] ?? '').join('\n'),
      () => result.slice(0, at) + random.of(WORDS).repeat(2000) + result.slice(at),
    ])();
  }
  return result;
}
