import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { InputError } from './failure.ts';
import { isBuiltIn, parseKernelConfig } from './kernel-config.ts';
import { runCommand } from './testing/run-command.ts';

describe('a kernel configuration', () => {
  const config = parseKernelConfig(
    '# Linux/x86 6.1 Kernel Configuration\r\nCONFIG_RANDOMIZE_BASE=y\nCONFIG_KVM=m\nCONFIG_LOCALVERSION="-cloud"\n# CONFIG_HEKI is not set\n',
    'config',
  );

  test('counts as built in only what is set to y', () => {
    expect(isBuiltIn(config, 'CONFIG_RANDOMIZE_BASE')).toBe(true);
    for (const name of ['CONFIG_KVM', 'CONFIG_HEKI', 'CONFIG_JUMP_LABEL'])
      expect(isBuiltIn(config, name)).toBe(false);
    expect(config.get('CONFIG_LOCALVERSION')).toBe('-cloud');
  });

  test('says of an option what its last line says, as Kconfig does', () => {
    const lines = [
      'CONFIG_KASLR=y',
      '# CONFIG_KASLR is not set',
      '# CONFIG_HEKI is not set',
      'CONFIG_HEKI=y',
    ];
    const appended = parseKernelConfig(lines.join('\n'), 'config');
    expect(isBuiltIn(appended, 'CONFIG_KASLR')).toBe(false);
    expect(isBuiltIn(appended, 'CONFIG_HEKI')).toBe(true);
  });

  test('is refused when there is none in the file', () => {
    expect(() => parseKernelConfig('CONFIG = y\n', 'x')).toThrow(InputError);
  });
});

describe('heki protect with a kernel configuration', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'heki-config-'));
  afterAll(() => rmSync(scratch, { recursive: true }));
  const configFile = (name: string, ...options: string[]): string => {
    const path = join(scratch, name);
    const text = `${options.map((option) => `CONFIG_${option}=y`).join('\n')}\n# CONFIG_HEKI is not set\n`;
    writeFileSync(path, name.endsWith('.gz') ? gzipSync(text) : text);
    return path;
  };
  const protect = async (config: string, ...args: string[]) => {
    const { exitCode, stdout } = await runCommand(['protect', '--kernel-config', config, '--json', ...args]);
    return { exitCode, report: JSON.parse(stdout) };
  };

  test('shows the refusal of a kernel with KASLR under rfc-v2, and that nothing is protected', async () => {
    const { exitCode, report } = await protect(configFile('kaslr', 'RANDOMIZE_BASE'), '--profile', 'rfc-v2');
    expect(exitCode).toBe(1);
    expect(report.log).toEqual(['heki-guest: Heki is disabled because KASLR is not supported yet']);
    expect(report.pages).toEqual({ 'r--': 0, 'r-x': 0, 'rw-': 0, rwx: 0 });
    expect(report.controlRegisters).toEqual({ cr0: '0x0', cr4: '0x0' });
    for (const attack of report.attacks) expect(attack.with).toEqual(attack.without);
  });

  test('shows that a kernel with jump labels cannot contain Heki under rfc-v2', async () => {
    const config = configFile('labels', 'JUMP_LABEL', 'RANDOMIZE_BASE');
    const { exitCode, stdout } = await runCommand([
      'protect',
      '--kernel-config',
      config,
      '--profile',
      'rfc-v2',
    ]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('HEKI depends on !JUMP_LABEL, and JUMP_LABEL is set');
    expect(stdout).toContain('by labels: KASLR, jump labels');
  });

  test('protects such kernels under hardened', async () => {
    const { exitCode, report } = await protect(configFile('both.gz', 'JUMP_LABEL', 'RANDOMIZE_BASE'));
    expect(exitCode).toBe(0);
    expect(report.pages['r-x']).toBe(4389);
  });
});
