import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { dumpGuest } from './dump-guest.ts';
import { GUESTS } from './guests.ts';
import { bootGuest } from './run-guest.ts';

const [folder = '/tmp/dumps', ...names] = process.argv.slice(2);
for (const guest of GUESTS) {
  if (names.length > 0 && !names.includes(guest.name)) continue;
  const out = join(folder, guest.name);
  const start = Date.now();
  try {
    const running = await bootGuest(guest, join(folder, 'run', guest.name), join(folder, 'kernels'));
    try {
      rmSync(out, { recursive: true, force: true });
      mkdirSync(out, { recursive: true });
      const dump = await dumpGuest(guest, running, join(out, 'dump.elf'));
      writeFileSync(join(out, 'dump.json'), `${JSON.stringify(dump.facts, undefined, 1)}\n`);
      for (const [root, text] of dump.infoTlb)
        writeFileSync(join(out, `${root}.info-tlb.txt.gz`), gzipSync(text));
      console.log(
        guest.name,
        Date.now() - start,
        'ms',
        [...dump.infoTlb.keys()].join(' '),
        dump.facts.registers,
      );
    } finally {
      await running.end();
    }
  } catch (error) {
    console.error(guest.name, error);
  }
}
