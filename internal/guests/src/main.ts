import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { checkGuest } from './check/check-guest.ts';
import { checkedGuests, withCurrentKernel } from './check/check-list.ts';
import { comparePeers } from './compare-peers.ts';
import { dumpGuest } from './dump-guest.ts';
import type { Guest } from './guest.ts';
import { GUESTS, SYMBOL_GUESTS, TEXT_GUESTS } from './guests.ts';
import { JIT_GUESTS } from './jit/jit-guests.ts';
import { makeJitFixture } from './jit/make-jit-fixture.ts';
import { makeFixture } from './make-fixture.ts';
import { bootGuest } from './run-guest.ts';
import { makeSymbolFixture } from './symbols/make-symbol-fixture.ts';
import { watchCost } from './watch-cost.ts';

const ALL: readonly Guest[] = [...GUESTS, ...SYMBOL_GUESTS, ...TEXT_GUESTS, ...JIT_GUESTS];

const USAGE = `usage: pnpm guests dump DIR [NAME...]       boots each guest under QEMU and dumps it to DIR/NAME
       pnpm guests fixtures DIR [NAME...]   makes fixtures/foreign/NAME, fixtures/symbols/NAME or fixtures/jit/NAME, out of DIR/NAME
       pnpm guests peers DIR                how long heki, crash and drgn take for a dump of 400 MB
       pnpm guests watch DIR                how long a guest stands while heki watches it
       pnpm guests check DIR [NAME... | all]   boots guests and holds what heki reads of them to QEMU (default: one, quickly)
names: ${ALL.map(({ name }) => name).join(' ')}`;

/** Boots, dumps and describes a guest. */
async function dump(guest: Guest, folder: string): Promise<void> {
  const running = await bootGuest(guest, join(folder, 'run', guest.name), join(folder, 'kernels'));
  try {
    const out = join(folder, guest.name);
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    const { facts, infoTlb } = await dumpGuest(guest, running, join(out, 'dump.elf'));
    writeFileSync(join(out, 'dump.json'), `${JSON.stringify(facts, undefined, 1)}\n`);
    const kallsyms = running.told.get('kallsyms');
    if (kallsyms !== undefined)
      writeFileSync(join(out, 'kallsyms.gz'), Buffer.from(kallsyms.join(''), 'base64'));
    const sections = running.told.get('sections');
    if (sections !== undefined) writeFileSync(join(out, 'sections'), `${sections.join('\n')}\n`);
    for (const [root, text] of infoTlb) writeFileSync(join(out, `${root}.info-tlb.txt.gz`), gzipSync(text));
  } finally {
    await running.end();
  }
}

/** A quick check is a part of all tests: a machine on which a guest boots more slowly is not the place for it. */
const QUICK = { bootTimeoutMs: 60_000, stride: 17 };
const FULL = { bootTimeoutMs: 240_000, stride: 1 };

/** Checks the quick guest, or those that are named, or all; the last line is `N passed, N failed`. */
async function check(folder: string, names: readonly string[]): Promise<number> {
  const quick = names.length === 0;
  const guests = checkedGuests(!quick).filter(
    ({ name }) => quick || names.includes(name) || names.includes('all'),
  );
  const total = { passed: 0, failed: 0 };
  for (const guest of guests) {
    try {
      const { passed, failed } = await checkGuest(withCurrentKernel(guest), {
        folder: resolve(folder),
        ...(quick ? QUICK : FULL),
      });
      total.passed += passed;
      total.failed += failed;
    } catch (error) {
      if (!quick) total.failed++;
      console.log(`not run: ${guest.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

/** Runs what the command line asks for; the exit code. */
async function main([what, folder, ...names]: readonly string[]): Promise<number> {
  if (what === 'check' && folder !== undefined) return check(folder, names);
  if (what === 'peers' && folder !== undefined) {
    await comparePeers(resolve(folder));
    return 0;
  }
  if (what === 'watch' && folder !== undefined) {
    await watchCost(resolve(folder));
    return 0;
  }
  const unknown = names.filter((name) => !ALL.some((guest) => guest.name === name));
  if ((what !== 'dump' && what !== 'fixtures') || folder === undefined || unknown.length > 0) {
    console.error(unknown.length > 0 ? `no guest is named ${unknown.join(', ')}\n${USAGE}` : USAGE);
    return 2;
  }
  let failed = 0;
  for (const guest of ALL) {
    if (names.length > 0 && !names.includes(guest.name)) continue;
    const start = Date.now();
    try {
      if (what === 'dump') await dump(guest, resolve(folder));
      else if (JIT_GUESTS.includes(guest)) makeJitFixture(guest, resolve(folder));
      else if (guest.symbols === true) makeSymbolFixture(guest, resolve(folder));
      else makeFixture(guest, resolve(folder));
      console.log(`${guest.name}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
    } catch (error) {
      failed++;
      console.error(`${guest.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
