import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dumpGuest } from '../dump-guest.ts';
import type { Guest } from '../guest.ts';
import { bootGuest } from '../run-guest.ts';
import { type CheckedGuest, type Checks, kernelHalf } from './checked-guest.ts';
import { live } from './live.ts';
import { makedumpfileFormats } from './makedumpfile.ts';
import { qemuDumps } from './qemu-dumps.ts';
import { symbols } from './symbols.ts';
import { translations } from './translations.ts';

/** In this order: the last ones let the guest go on. */
const CHECKS: readonly Checks[] = [qemuDumps, translations, symbols, makedumpfileFormats, live];

const LARGE_BYTES = 2 ** 30;
const LARGE_STRIDE = 101;

/** How much is looked at. */
export interface CheckSettings {
  /** Where guests, kernels and dumps are put; a dump takes as much as the guest has memory. */
  readonly folder: string;
  readonly bootTimeoutMs: number;
  readonly stride: number;
}

/** How many checks passed and failed. */
export interface Counts {
  passed: number;
  failed: number;
}

/** Boots `guest`, and holds what heki reads of it to what QEMU says. Prints a line for each check. @throws when it does not boot */
export async function checkGuest(
  guest: Guest,
  { folder, bootTimeoutMs, stride }: CheckSettings,
): Promise<Counts> {
  const started = Date.now();
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
  const running = await bootGuest(
    guest,
    join(folder, 'run', guest.name),
    join(folder, 'kernels'),
    bootTimeoutMs,
  );
  const out = join(folder, guest.name);
  const counts: Counts = { passed: 0, failed: 0 };
  try {
    console.log(`${guest.name}: ready after ${seconds()}`);
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    const elf = join(out, 'dump.elf');
    const dump = await dumpGuest(guest, running, elf);
    const large = statSync(elf).size > LARGE_BYTES;
    const checked: CheckedGuest = {
      running,
      dump,
      elf,
      infoTlb: kernelHalf(dump.infoTlb),
      folder: out,
      stride: large ? LARGE_STRIDE : stride,
      large,
    };
    for (const checks of CHECKS) {
      for await (const { name, run } of checks(checked)) {
        try {
          await run();
          counts.passed++;
          console.log(`ok ${guest.name}: ${name}, at ${seconds()}`);
        } catch (error) {
          counts.failed++;
          console.log(`not ok ${guest.name}: ${name}: ${error instanceof Error ? error.message : error}`);
        }
      }
    }
  } finally {
    await running.end();
    rmSync(out, { recursive: true, force: true });
    rmSync(join(folder, 'run', guest.name), { recursive: true, force: true });
  }
  return counts;
}
