import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { packageOf, tarFile } from '../testing/build-package.ts';
import { vmlinuxOfText } from '../testing/build-vmlinux.ts';
import { openKernelImage } from './open-kernel-image.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-kernel-image-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function file(name: string, content: Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

/** A vmlinux of one page of text. */
function vmlinux(): Buffer {
  const text = Buffer.alloc(0x1000);
  text.write('Linux version 6.1.0-test ', 'latin1');
  return vmlinuxOfText(text);
}

const files = Buffer.concat([
  tarFile('./boot/config', Buffer.alloc(3000)),
  tarFile('./boot/vmlinuz-6.1.0-test', vmlinux()),
]);

describe('a kernel in a Debian package', () => {
  test.each([
    ['data.tar', undefined],
    ['data.tar.gz', 'gzip'],
    ['data.tar.xz', 'xz'],
    ['data.tar.zst', 'zstd'],
  ] as const)('is found in %s', async (name, program) => {
    const packed = program === undefined ? files : spawnSync(program, ['-c'], { input: files }).stdout;
    // Where there is no such program, there is nothing to show.
    if (packed === null) return;
    expect((await openKernelImage(file(name, packageOf(name, packed)))).release).toBe('6.1.0-test');
    const cut = openKernelImage(file('cut.deb', packageOf(name, packed.subarray(0, packed.length / 2))));
    await expect(cut).rejects.toThrow(/cut.deb: /);
  });

  test('is not waited for in a bomb', async () => {
    const header = Buffer.alloc(512);
    header.write('./boot/vmlinux-of-another-name');
    header.write('17777777777', 124);
    header[156] = 0x35;
    const zeros = gzipSync(Buffer.alloc(2 ** 24));
    const bomb = Buffer.concat([gzipSync(header), ...Array.from({ length: 8 }, () => zeros)]);
    const path = file('bomb.deb', packageOf('data.tar.gz', bomb));
    await expect(openKernelImage(path)).rejects.toThrow('unpack to more than 64.0 MiB, 100 times their size');
  });
});

test('a vmlinux may have any amount of debug information behind what is loaded', async () => {
  const path = file('debug', vmlinux());
  truncateSync(path, 2 ** 28);
  const { segments, release } = await openKernelImage(path);
  expect(release).toBe('6.1.0-test');
  expect(segments.map(({ bytes }) => bytes.length)).toEqual([0x1000]);
});

test('a kernel of which more would be loaded than any has is refused', async () => {
  const large = vmlinux();
  large.writeBigUInt64LE(2n ** 28n - 120n, 96);
  const path = file('large', large);
  truncateSync(path, 2 ** 28);
  await expect(openKernelImage(path)).rejects.toThrow('large: the kernel has more than 192.0 MiB');
});
