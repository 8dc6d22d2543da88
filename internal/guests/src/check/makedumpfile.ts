import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, CheckedGuest } from './checked-guest.ts';
import { expectBytes, expectLeaves, withDump } from './expect.ts';
import { writeProcVmcore } from './proc-vmcore.ts';

/** How makedumpfile is called, and the part of the pages that it may leave out. */
const WAYS: readonly (readonly [options: string, mostAbsent: number])[] = [
  ['-d 0', 0.01],
  ['-c -d 31', 1],
  ['-l -d 1', 0.01],
  ['-p -d 31', 1],
  ['-z -d 31', 1],
  ['-E -d 31', 1],
];

/** Every format that this makedumpfile writes, of what a crash kernel would see as /proc/vmcore. */
export function* makedumpfileFormats(guest: CheckedGuest): Generator<Check> {
  const { elf, folder, dump } = guest;
  if (guest.large) return;
  const vmcore = join(folder, 'vmcore');
  const judge = (paths: readonly string[], mostAbsent: number) => {
    withDump(paths.join(','), (core) => {
      expectLeaves(core, guest);
      expectBytes(core, guest, mostAbsent);
    });
    for (const path of paths) rmSync(path);
  };
  yield {
    name: '/proc/vmcore',
    run() {
      writeProcVmcore(elf, dump.facts.iomem, vmcore);
      withDump(vmcore, (core) => {
        expectLeaves(core, guest);
        expectBytes(core, guest, 0.01);
      });
    },
  };
  const made = join(folder, 'made');
  for (const [options, mostAbsent] of WAYS) {
    yield {
      name: `makedumpfile ${options}`,
      run() {
        execFileSync('makedumpfile', [...options.split(' '), vmcore, made], { stdio: 'pipe' });
        judge([made], mostAbsent);
      },
    };
  }
  yield {
    name: 'makedumpfile -F',
    run() {
      execFileSync('sh', ['-c', 'makedumpfile -F -l -d 31 "$0" > "$1"', vmcore, made], { stdio: 'pipe' });
      judge([made], 1);
    },
  };
  yield {
    name: 'makedumpfile --split',
    run() {
      const parts = [1, 2, 3].map((part) => `${made}.${part}`);
      execFileSync('makedumpfile', ['--split', '-l', '-d', '31', vmcore, ...parts], { stdio: 'pipe' });
      judge(parts, 1);
    },
  };
  rmSync(vmcore, { force: true });
}
