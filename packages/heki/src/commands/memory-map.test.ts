import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-map-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('the memory map of heki protect', () => {
  test('comes from the JSON beside the snapshot', async () => {
    const { stdout } = await runCommand(['protect', fixturePath('k61-4g-nokaslr')]);
    expect(stdout).toContain('4.0 GiB of RAM, from k61-4g-nokaslr.json; 16.0 MiB added at 0x140000000');
  });

  test('comes from a text of /proc/iomem that is named, which has the last word', async () => {
    const path = join(scratch, 'iomem');
    writeFileSync(
      path,
      '00001000-0009fbff : System RAM\n00100000-07ffffff : System RAM\n  01000000-01e01ef1 : Kernel code\n',
    );
    const { exitCode, stdout } = await runCommand([
      'protect',
      fixturePath('k61-256-nokaslr'),
      '--memory-map',
      path,
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('127.6 MiB of RAM, from iomem');
  });

  test.each(['kmem', 'virtio-mem'])('has the RAM that was plugged in by %s', async (kind) => {
    const args = [
      'protect',
      fixturePath('k61-256-nokaslr'),
      '--memory-map',
      projectFile(`fixtures/foreign/k61-256-nokaslr.${kind}.iomem`),
    ];
    const { stdout } = await runCommand([...args, '--json']);
    const { pages, memoryMap } = JSON.parse(stdout);
    expect(pages).toEqual({ 'r--': 2244, 'r-x': 4389, 'rw-': 58871, rwx: 0 });
    expect(memoryMap).toEqual({
      from: `k61-256-nokaslr.${kind}.iomem`,
      ramPages: 65406,
      leftOut: [
        { name: 'Reserved', bytes: 0x1000 + 0x400 + 0x1_0000 + 0x2_0000 + 0x4_0000 + 0x3_0000_0000 },
        { name: 'PCI Bus 0000:00', bytes: 0x2_0000 + 0xeec0_0000 + 0x8000_0000 },
        { name: 'Video ROM', bytes: 0x600 },
        { name: 'IOAPIC 0', bytes: 0x400 },
        { name: 'HPET 0', bytes: 0x400 },
        { name: 'Local APIC', bytes: 0x1000 },
        { name: 'parts of pages of System RAM', bytes: 0xc00 },
      ],
    });
    expect((await runCommand(args)).stdout).toContain(
      '  not RAM    of that map: 12.0 GiB Reserved, 3 KiB parts of pages of System RAM\n',
    );
  });

  test('must have RAM where the page tables are', async () => {
    const path = join(scratch, 'small');
    writeFileSync(path, '00001000-00ffffff : System RAM\n');
    const { exitCode, stderr } = await runCommand(['protect', '--memory-map', path]);
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      "heki: small: the memory map has no RAM at 0x5a66000, where the kernel's page tables are: is it the map of this guest?\n",
    );
  });

  test('must leave room for the RAM that is added', async () => {
    const path = join(scratch, 'full');
    writeFileSync(path, '00001000-3fffffffffff : System RAM\n');
    const { exitCode, stderr } = await runCommand(['protect', '--memory-map', path]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^heki: no room for 16 MiB of RAM at 0x400000000000, above the memory map/);
  });

  test('is inferred from the direct map when nobody tells it, and then the output says so', async () => {
    const path = join(scratch, 'alone.elf.gz');
    copyFileSync(fixturePath('k61-256-kaslr'), path);
    const { exitCode, stdout } = await runCommand(['protect', path]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('255.9 MiB of RAM, inferred from the direct map');
    expect(stdout).toContain('kernel     Linux 6.1.0-56-cloud-amd64\n');
    expect(stdout).toContain('Heki stops 3 attacks that the kernel alone cannot stop.');
  });

  test('is read from a JSON by name, too', async () => {
    const { exitCode, stdout } = await runCommand([
      'protect',
      fixturePath('k61-256-nokaslr'),
      '--memory-map',
      projectFile('fixtures/k61-256-kaslr.json'),
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('from k61-256-kaslr.json');
  });

  test('must be sound where it stands beside the snapshot', async () => {
    const path = join(scratch, 'broken.elf.gz');
    copyFileSync(fixturePath('k61-256-nokaslr'), path);
    for (const [json, message] of [
      ['{', 'not JSON'],
      ['[]', 'the file'],
      ['{"iomem": ["x"]}', 'line 1 of the memory map'],
      ['{"iomem": [3]}', 'iomem.0'],
      ['{"page_offset_base": "here"}', 'page_offset_base: expected an address'],
      ['{"symbols": {"_text": 5}}', 'symbols._text'],
    ] as const) {
      writeFileSync(join(scratch, 'broken.json'), json);
      const { exitCode, stderr } = await runCommand(['protect', path]);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^heki: .+broken\.json.*\n$/);
      expect(stderr).toContain(message);
    }
  });
});
