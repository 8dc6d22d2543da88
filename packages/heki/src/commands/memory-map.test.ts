import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { fixturePath, projectFile, ranOnce, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-map-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('the memory map of heki protect', () => {
  test('comes from the JSON beside the snapshot', async () => {
    const { stdout } = await ranOnce('protect', fixturePath('k61-4g-nokaslr'));
    expect(stdout).toContain('4.0 GiB of RAM, from k61-4g-nokaslr.json; 16.0 MiB added at 0x140000000');
  });

  test('comes from a text of /proc/iomem that is named, which has the last word', async () => {
    const path = join(scratch, 'iomem');
    writeFileSync(
      path,
      '00001000-0009fbff : System RAM\n00100000-0dffffff : System RAM\n  01000000-01e01ef1 : Kernel code\n',
    );
    const { exitCode, stdout } = await runCommand([
      'protect',
      fixturePath('k61-256-nokaslr'),
      '--memory-map',
      path,
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('223.6 MiB of RAM, from iomem');
    // It is believed, but not in silence.
    expect(stdout).toContain(
      "warning: iomem: the memory map does not fit: of the 255.9 MiB in the kernel's direct map, 31.9 MiB are not in it, the first at 0xe000000\n",
    );
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
    expect(exitCode).toBe(3);
    expect(stderr).toBe(
      `heki: ${path}: the memory map has no RAM at 0x5a66000, where the kernel's page tables are: is it the map of this guest?\n`,
    );
  });

  test('must leave room for the RAM that is added', async () => {
    const path = join(scratch, 'full');
    writeFileSync(path, '00001000-0ffdffff : System RAM\n0ffe0000-3fffffffffff : Reserved\n');
    const { exitCode, stderr } = await runCommand(['protect', '--memory-map', path]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^heki: no room for 16 MiB of RAM at 0x400000000000, above the memory map/);
  });

  test.each([
    [
      'of a guest with more memory',
      '00100000-7fffffff : System RAM\n',
      "of its 2.0 GiB of RAM, 1.8 GiB are not in the kernel's direct map, the first at 0xffe0000",
    ],
    [
      'of a guest with less',
      '00100000-07ffffff : System RAM\n',
      "of the 255.9 MiB in the kernel's direct map, 127.9 MiB are not in it, the first at 0x8000000",
    ],
    [
      'of a guest with other holes',
      '00100000-07ffffff : System RAM\n100000000-10fffffff : System RAM\n',
      "of its 383.0 MiB of RAM, 256.0 MiB are not in the kernel's direct map, the first at 0x100000000",
    ],
  ])('%s is refused', async (_, text, why) => {
    const path = join(scratch, 'foreign');
    writeFileSync(path, text);
    const { exitCode, stdout, stderr } = await runCommand(['protect', '--memory-map', path]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
    expect(stderr).toBe(`heki: ${path}: the memory map does not fit: ${why}: is it the map of this guest?\n`);
  });

  test('that is a little larger than the kernel knows is told in JSON, too', async () => {
    const path = join(scratch, 'larger');
    writeFileSync(path, '00001000-0009fbff : System RAM\n00100000-10ffffff : System RAM\n');
    const { stdout } = await runCommand(['protect', '--memory-map', path, '--json']);
    expect(JSON.parse(stdout).warnings).toEqual([
      {
        id: 'memory-map',
        message:
          "larger: the memory map does not fit: of its 271.6 MiB of RAM, 16.1 MiB are not in the kernel's direct map, the first at 0xffe0000",
      },
    ]);
  });

  test('is inferred from the direct map without --memory-map, and then the output says so', async () => {
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
      [
        '{"page_offset_base": "0x0000888000000000"}',
        'page_offset_base is 0x888000000000, but the page tables have the direct map at 0xffff888000000000',
      ],
      ['{"page_offset_base": "0xffff888040000000"}', 'does it belong to this snapshot?'],
    ] as const) {
      writeFileSync(join(scratch, 'broken.json'), json);
      const { exitCode, stderr } = await runCommand(['protect', path]);
      expect(exitCode).toBe(3);
      expect(stderr).toMatch(/^heki: .+broken\.json.*\n$/);
      expect(stderr).toContain(message);
    }
  });

  test('goes with symbols that are passed over, and named, when they are 0 or of another kernel', async () => {
    const path = join(scratch, 'symbols.elf.gz');
    copyFileSync(fixturePath('k61-256-nokaslr'), path);
    const symbols = {
      _stext: '0x0',
      _etext: '0x0',
      _sdata: '0xffffffff9b200000',
      init_uts_ns: '0xffffffff82a0cd60',
    };
    writeFileSync(join(scratch, 'symbols.json'), JSON.stringify({ symbols }));
    const { exitCode, stdout } = await runCommand(['protect', path, '--json']);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).warnings).toEqual([
      {
        id: 'symbols',
        message:
          'symbols.json: 2 symbols (_stext first) have address 0, as /proc/kallsyms shows them without privileges: passed over',
      },
      {
        id: 'symbols',
        message:
          "symbols.json: _sdata at 0xffffffff9b200000 is not mapped: it is another kernel's, and passed over",
      },
    ]);
  });
});
