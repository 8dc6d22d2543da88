import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { gunzipSource } from './gunzip.ts';

it('what gzip packed is refused where beyond 1 GiB it is nothing but repetition', () => {
  const inflate = (packed: Uint8Array) => gunzipSource('a.gz', bytesSource(packed), 2 ** 36);
  const member = gzipSync(Buffer.alloc(2 ** 26));
  const bomb = Buffer.concat(Array.from({ length: 20 }, () => member));
  expect(() => inflate(bomb)).toThrow('a.gz unpacks to 1000 times its size: a bomb, no dump');
  const source = inflate(bomb.subarray(0, 15 * member.length));
  expect(source.size).toBe(15 * 2 ** 26);
  source.close();
});
