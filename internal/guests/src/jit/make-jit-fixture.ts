import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readCodeAreas, readImageSymbols, readLoadedCode } from '@heki/symbols';
import { resolveKernelRoot, virtualMemoryOf } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import type { Guest, GuestFacts } from '../guest.ts';
import { functionsLedTo, readPrograms } from './read-programs.ts';

/** The repository, seen from the compiled program. */
const FIXTURES = join(import.meta.dirname, '../../../../fixtures/jit');

/** Makes `fixtures/jit/NAME.json.gz` of the dump of a guest: what its JIT has made of each program, and the functions that these lead to. */
export function makeJitFixture(guest: Guest, folder: string): void {
  const dump = join(folder, guest.name);
  const core = openVmcore(join(dump, 'dump.elf'));
  const root = resolveKernelRoot(core);
  const memory = virtualMemoryOf(root);
  const symbols = readImageSymbols(root, core.vmcoreinfo);
  if (typeof symbols === 'string') throw new Error(`kallsyms ${symbols}`);
  const loaded = readLoadedCode(memory, symbols.table);
  if (typeof loaded === 'string') throw new Error(`modules ${loaded}`);
  const areas = readCodeAreas(memory, symbols.table);
  if (areas === undefined) throw new Error('the lists of packs are not in the dump');
  const programs = readPrograms(memory, areas, loaded);
  const facts: GuestFacts = JSON.parse(readFileSync(join(dump, 'dump.json'), 'utf8'));
  const fixture = {
    kernel: facts.kernel,
    about: `${guest.cpu}, ${guest.about}`,
    made: {
      by: 'internal/guests, of a dump of a Debian kernel under QEMU TCG',
      package: `linux-image-${guest.kernel}`,
      qemuVersion: facts.qemuVersion,
    },
    thisCpuOff: symbols.table.named('this_cpu_off')[0]?.address.toString(16),
    functions: Object.fromEntries(
      [...functionsLedTo(programs, symbols.table)]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, address]) => [name, address.toString(16)]),
    ),
    programs: programs.map(({ name, address, bytes }) => ({
      name,
      address: address.toString(16),
      bytes: Buffer.from(bytes).toString('base64'),
    })),
  };
  mkdirSync(FIXTURES, { recursive: true });
  writeFileSync(
    join(FIXTURES, `${guest.name}.json.gz`),
    gzipSync(`${JSON.stringify(fixture, undefined, 1)}\n`, { level: 9 }),
  );
  core.close();
}
