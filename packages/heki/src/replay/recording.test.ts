import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InputError } from '../failure.ts';
import { readRecording } from './recording.ts';

const call = { cmd: 'map', set: 0, clear: 0, setGlobal: 0, leaves: [['1000', '2000', '8000000000000163']] };

test('reads the first sequence, with flags as halves', () => {
  const text = JSON.stringify([[call], [call, call]]);
  const expected = [
    {
      command: 0,
      change: { set: 0, clear: 0, setGlobal: 0 },
      leaves: [{ guestFrame: 1, frames: 2, low: 0x163, high: 0x8000_0000 }],
    },
  ];
  expect(readRecording(text)).toEqual(expected);
});

test.each([
  ['no JSON', '[', 'no recording'],
  ['no sequences', '{}', 'expected a JSON array of sequences'],
  ['no calls', '[[]]', 'expected a JSON array of sequences'],
  ['a call that is not an object', '[[7]]', 'call 0 is 7: expected an object'],
  [
    'an unknown command',
    JSON.stringify([[call, { ...call, cmd: 'move' }]]),
    'call 1: cmd is "move": expected map',
  ],
  ['attributes beyond four bits', JSON.stringify([[{ ...call, set: 16 }]]), 'call 0: set is 16'],
  ['no leaves', JSON.stringify([[{ ...call, leaves: null }]]), 'call 0: leaves is null'],
  [
    'a leaf within a page',
    JSON.stringify([[{ ...call, leaves: [['1800', '1000', '3']] }]]),
    'call 0: leaf 0 is ["1800"',
  ],
  ['an empty leaf', JSON.stringify([[{ ...call, leaves: [['1000', '0', '3']] }]]), 'call 0: leaf 0'],
  [
    'a leaf beyond 2^52',
    JSON.stringify([[{ ...call, leaves: [['ffffffffff000', '2000', '3']] }]]),
    'below 2^52',
  ],
])('refuses %s and says where', (_what, text, message) => {
  expect(() => readRecording(text)).toThrow(InputError);
  expect(() => readRecording(text)).toThrow(message);
});

test('answers any text with a recording or an InputError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        readRecording(text);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
  );
});
