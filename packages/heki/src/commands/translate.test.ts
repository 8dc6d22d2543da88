import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CR4 } from '@heki/x86';
import { afterAll, describe, expect, test } from 'vitest';
import { controlRegister, coreBytes, pagesOf, setControlRegister } from '../testing/mutated-core.ts';
import { fixturePath, runCommand } from '../testing/run-command.ts';

const kernel = fixturePath('k61-256-nokaslr');
const TEXT = 'ffffffff81000080';
const scratch = mkdtempSync(join(tmpdir(), 'heki-translate-'));
afterAll(() => rmSync(scratch, { recursive: true }));

async function translate(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(['translate', kernel, ...args]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

describe('translate', () => {
  test('decodes each level and says why a store faults', async () => {
    expect(await translate(TEXT, '--access', 'write')).toBe(
      [
        'ffffffff81000080  write at CPL 0',
        '  kernel text',
        '  page tables at 0x5a66000, CR3 of CPU 0,',
        '  proven by a direct map at 0xffff888000000000 with 108 of 108 table pages, kernel text at 0xffffffff81000000',
        '  CR3 0x5a66000, CR0 0x80050033 with WP PG, CR4 0x750eb0 with PAE SMEP SMAP PKE',
        '  processor intel-vt-rp (assumed; --cpu NAME names another)',
        '',
        '  PML4E [511] bits 47:39 at 0x5a66ff8  0000000002a15067  P RW US A → table at 0x2a15000',
        '  PDPTE [510] bits 38:30 at 0x2a15ff0  0000000002a16063  P RW A → table at 0x2a16000',
        '  PDE   [  8] bits 29:21 at 0x2a16040  00000000010001e1  P A D PS G → 2 MiB page at 0x1000000',
        '',
        '  #PF 0x3 (P W), CR2 0xffffffff81000080',
        '  because R/W=0 in PDE',
        '',
      ].join('\n'),
    );
  });

  test('takes the kernel that comes with heki, where only an address is named', async () => {
    const { exitCode, stdout } = await runCommand(['translate', TEXT, '--access', 'write']);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: await translate(TEXT, '--access', 'write') });
    expect(await runCommand(['translate'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('missing VA: expected a virtual address'),
    });
    expect(await runCommand(['translate', 'guest.elf'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('"guest.elf" is not a virtual address'),
    });
  });

  test('says where an allowed access goes, and what the page grants', async () => {
    const text = await translate(TEXT, '--access', 'fetch');
    expect(text).toContain('allowed: guest-physical 0x1000080, in a 2 MiB page\n');
    expect(text).toContain('all levels together: read-only, executable, kernel page\n');
  });

  test('takes an address with or without 0x and with digits in groups', async () => {
    const text = await translate(TEXT);
    expect(await translate(`0x${TEXT}`)).toBe(text);
    expect(await translate('0xffffffff_81000080')).toBe(text);
  });

  test.each([
    ['a user access to a kernel page', [TEXT, '--user'], { kind: 'page-fault', errorCode: '0x5' }],
    ['a fetch of data', ['ffffffff82a00000', '--access', 'fetch'], { kind: 'page-fault', errorCode: '0x11' }],
    ['an address that is not mapped', ['0', '--access', 'write'], { kind: 'page-fault', errorCode: '0x2' }],
    [
      'an address that is not canonical',
      ['8000000000000000'],
      { kind: 'general-protection', reason: 'non-canonical' },
    ],
    ['a read of data', ['ffffffff82a00123'], { kind: 'mapped', gpa: '0x2a00123', size: '2 MiB' }],
  ])('gives %s as JSON', async (_, args, outcome) => {
    expect(JSON.parse(await translate(...args, '--json'))).toMatchObject({ outcome });
  });

  test('names an address between the halves so, and not the user', async () => {
    const text = await translate('ffff7fffffffffff');
    expect(text).toContain('\n  non-canonical\n');
    expect(text).not.toContain('user');
    const { place } = JSON.parse(await translate('ffff7fffffffffff', '--json'));
    expect(place).toMatchObject({ region: 'non-canonical', symbol: null });
  });

  test('under LASS a user access to the kernel, and a fetch of the kernel from user addresses, end before any walk', async () => {
    const core = coreBytes('k61-256-nokaslr');
    setControlRegister(core, 4, controlRegister(core, 4) | CR4.LASS);
    const path = join(scratch, 'lass.elf');
    writeFileSync(path, core);
    for (const args of [
      [TEXT, '--user'],
      ['401945', '--access', 'fetch'],
    ]) {
      const { stdout } = await runCommand(['translate', path, ...args, '--json']);
      const lass = { kind: 'general-protection', reason: 'lass' };
      expect(JSON.parse(stdout)).toMatchObject({ outcome: lass, steps: [] });
    }
    const { stdout } = await runCommand(['translate', path, TEXT, '--user']);
    expect(stdout).toContain(
      'CR4 0x8750eb0 with PAE SMEP SMAP PKE LASS\n  processor intel-vt-rp and CR4.LASS (assumed; --cpu NAME names another)\n\n  #GP(0): LASS keeps user mode out of',
    );
    expect((await runCommand(['translate', path, TEXT])).stdout).toContain('allowed');
  });

  test('says that a protection key may forbid what is allowed here: its register is not in a dump', async () => {
    const core = coreBytes('k61-256-nokaslr');
    setControlRegister(core, 4, controlRegister(core, 4) | CR4.PKS);
    const entry = (new Map(pagesOf(core)).get(0x2a16000) ?? expect.unreachable()) + 8 * 8;
    core.writeBigUInt64LE(core.readBigUInt64LE(entry) | (3n << 59n), entry);
    const path = join(scratch, 'keys.elf');
    writeFileSync(path, core);
    const warnings = async (...args: string[]) =>
      JSON.parse((await runCommand(['translate', path, TEXT, '--json', ...args])).stdout).warnings;
    const message = 'IA32_PKRS is not in a dump and is taken as 0: protection key 3 forbids nothing here';
    expect(await warnings()).toEqual([{ id: 'protection-keys', message }]);
    expect(await warnings('--access', 'fetch')).toEqual([]);
  });

  test('tells the steps as JSON', async () => {
    const { steps } = JSON.parse(await translate(TEXT, '--json'));
    expect(steps).toHaveLength(3);
    expect(steps[2]).toEqual({
      level: 2,
      name: 'PDE',
      address: '0x2a16040',
      entry: '0x10001e1',
      present: true,
      leaf: true,
      frame: '0x1000000',
      flags: ['P', 'A', 'D', 'PS', 'G'],
      key: 0,
    });
  });

  test('walks five levels where the kernel does', async () => {
    const { stdout } = await runCommand(['translate', fixturePath('k61-256-la57-kaslr'), 'ffffffff80000000']);
    expect(stdout).toMatch(/PML5E \[511\] bits 56:48/);
  });
});
