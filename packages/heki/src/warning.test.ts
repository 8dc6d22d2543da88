import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CR3, CR4 } from '@heki/x86';
import { afterAll, expect, test } from 'vitest';
import { controlRegister, coreBytes, setControlRegister } from './testing/mutated-core.ts';
import { fixturePath, runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-warning-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A dump of the small kernel with these bits set besides its own. */
function coreWith(name: string, bits: { readonly cr3?: bigint; readonly cr4?: bigint }): string {
  const core = coreBytes('stage61-rest_init');
  setControlRegister(core, 3, controlRegister(core, 3) | (bits.cr3 ?? 0n));
  setControlRegister(core, 4, controlRegister(core, 4) | (bits.cr4 ?? 0n));
  const path = join(scratch, `${name}.elf`);
  writeFileSync(path, core);
  return path;
}

const COMMANDS = [
  ['protect', []],
  ['translate', ['ffffffff81000000']],
] as const;

test.each(COMMANDS)(
  '%s says in text and in JSON what a dump switches on and is not modelled',
  async (name, args) => {
    const path = coreWith('lam-fred', { cr3: CR3.LAM_U57, cr4: CR4.LAM_SUP | CR4.FRED });
    const json = JSON.parse((await runCommand([name, path, ...args, '--json'])).stdout);
    // This kernel is stopped before it makes its text read-only, which is another warning.
    const warnings = json.warnings.filter(({ id }: { id: string }) => id !== 'writable-and-executable');
    expect(warnings.map(({ id }: { id: string }) => id)).toEqual(['lam', 'lam', 'fred']);
    expect(warnings[2]).toEqual({ id: 'fred', message: expect.stringMatching(/^CR4.FRED: events are/) });
    const { stdout } = await runCommand([name, path, ...args]);
    for (const { message } of warnings) expect(stdout).toContain(`warning: ${message}`);
  },
);

test.each(COMMANDS)('%s has no warnings about a kernel whose registers are modelled', async (name, args) => {
  const { stdout } = await runCommand([name, fixturePath('k61-256-nokaslr'), ...args, '--json']);
  expect(JSON.parse(stdout).warnings).toEqual([]);
});

test('masking of addresses that the value for CR3 switches on is said, too', async () => {
  const named = `0x${(0x5a6_6000n | CR3.LAM_U48).toString(16)}`;
  const options = ['7f00000000001000', '--user', '--cr3', named, '--json'];
  const { stdout } = await runCommand(['translate', fixturePath('k61-256-nokaslr'), ...options]);
  expect(JSON.parse(stdout).warnings).toMatchObject([
    { id: 'empty-user-half' },
    { id: 'lam', message: expect.stringMatching(/^CR3.LAM_U48: /) },
  ]);
});
