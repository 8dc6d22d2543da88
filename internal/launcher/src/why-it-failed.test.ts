import { expect, test } from 'vitest';
import { whyItFailed } from './why-it-failed.mjs';

test('the code of an error is told in words', () => {
  expect(whyItFailed('npm error code ENOTFOUND')).toContain('cannot be reached (ENOTFOUND)');
  expect(whyItFailed('EROFS: read-only file system, mkdir')).toContain('cannot be written (EROFS)');
});

test.skipIf(process.platform === 'win32')(
  'so is the number that pnpm gives it, wherever its lines break',
  () => {
    const output = 'No\n      space left on device (os\n      error 28)';
    expect(whyItFailed(output)).toContain('no space is left (ENOSPC)');
    expect(whyItFailed('Permission denied (os error 13)')).toContain('cannot be written (EACCES)');
  },
);

test('what is none of the usual causes has no words', () => {
  expect(whyItFailed('it broke (os error 99999)')).toBeUndefined();
  expect(whyItFailed('')).toBeUndefined();
});
