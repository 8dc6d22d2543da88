import { expect, it } from 'vitest';
import { VmcoreError } from './error.ts';
import { parseMemoryMap } from './memory-map-text.ts';

const TEXT =
  '00001000-0009fbff : System RAM\n00100000-0ffdffff : System RAM\n  01000000-01e01ef1 : Kernel code\n';

it('reads the text of /proc/iomem, or JSON with its lines', () => {
  const plain = parseMemoryMap(TEXT);
  const json = parseMemoryMap(JSON.stringify({ kernel: '6.1', iomem: TEXT.trimEnd().split('\n') }));
  expect(plain.ramEnd).toBe(0xffe0);
  expect(json.entries).toEqual(plain.entries);
});

it.each([
  ['{"iomem": 5}', '`iomem` is missing'],
  ['{', 'not JSON'],
  ['hello', 'line 1'],
])('refuses %s', (text, message) => {
  expect(() => parseMemoryMap(text)).toThrow(VmcoreError);
  expect(() => parseMemoryMap(text)).toThrow(message);
});
