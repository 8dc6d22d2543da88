import { describe, expect, test } from 'vitest';
import { coloursFor, released, withOwnColours } from '../colours.ts';
import { describeHostileText } from '../testing/hostile-text.ts';

// `hostile-text.property.long.test.ts` has more of them.
describeHostileText({ costly: 1, cheap: 1, every: false });

describe('our colours', () => {
  const on = coloursFor({ write: () => Promise.resolve(), isTerminal: true, columns: 80 }, {});

  test('come through, and those of others do not', () => {
    expect(released(`${on.red('a')}\u001b[31mb`)).toBe('\u001b[31ma\u001b[39m\\x1b[31mb');
    expect(released(on.green('\u001b[8mhidden'))).toBe('\u001b[32m\\x1b[8mhidden\u001b[39m');
  });

  test('stay what they are in each other', () => {
    const text = on.red(`a ${on.bold('b')} c`);
    expect(released(text)).toBe('\u001b[31ma \u001b[1mb\u001b[22m c\u001b[39m');
    expect(released(withOwnColours(released(text)))).toBe(released(text));
  });
});
