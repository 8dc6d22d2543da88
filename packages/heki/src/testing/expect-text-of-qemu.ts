import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { type Fixture, fixturePath, projectFile, runCommand } from './run-command.ts';

/** `heki walk --format info-tlb` must print of a kernel what QEMU's `info tlb` printed of the guest. */
export async function expectTextOfQemu(name: Fixture): Promise<void> {
  const judge = gunzipSync(readFileSync(projectFile(`fixtures/${name}.info-tlb.txt.gz`))).toString();
  const { exitCode, stdout, stderr } = await runCommand([
    ...['walk', fixturePath(name), '--format', 'info-tlb'],
  ]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  // Not toBe: the difference of two texts of a megabyte takes minutes to print.
  expect(stdout === judge).toBe(true);
}
