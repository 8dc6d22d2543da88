import { join } from 'node:path';
import { fixturePath } from '../run-command.ts';

/** A command line that reads something hostile. */
export type HostileCase = readonly string[];

const KERNEL = fixturePath('k61-256-nokaslr');

/** Commands that read a dump, each in every way that it reads one; `extract` writes to a folder that goes with the files. */
function readersOf(dump: string, folder: string): readonly [HostileCase, ...HostileCase[]] {
  const small = join(folder, 'small.elf.gz');
  return [
    ['protect', dump, '--json'],
    ['walk', dump],
    ['walk', dump, '--cpu-index', '0', '--format', 'json'],
    ['walk', dump, '--user', '--format', 'info-tlb'],
    ['translate', dump, 'ffffffff81000000', '--access', 'write', '--json'],
    ['translate', dump, '401000', '--user', '--access', 'fetch'],
    ['extract', dump, '-o', small, '--force'],
    ['extract', dump, '-o', small, '--force', '--redact'],
    ['extract', dump, '-o', small, '--force', '--user', '--json'],
    ['audit', dump],
    ['diff', dump, KERNEL],
    ['symbols', dump, '--json'],
    ['read', dump, 'ffffffff81000000', '0x2000'],
    ['find', dump, '--permissions', 'rwx', '--json'],
  ];
}

/** {@link readersOf}, and what meets only what they have read. */
export function commandsOn(dump: string, folder: string): readonly [HostileCase, ...HostileCase[]] {
  return [
    ...readersOf(dump, folder),
    ['protect', dump, '--profile', 'rfc-v2', '--hypervisor', 'kvm'],
    ['protect', dump, '--hypervisor', 'hyperv-lvbs'],
    ['protect', dump, '--hypervisor', 'xen'],
  ];
}

/** The command lines that read a dump: all of {@link commandsOn}, or some. */
export type DumpReaders = (dump: string, folder: string) => readonly HostileCase[];

/** `count` of {@link commandsOn} for each dump, on from where those for the dump before ended. */
export function commandsInTurn(count: number): DumpReaders {
  let turn = 0;
  return (dump, folder) => {
    const commands = commandsOn(dump, folder);
    return Array.from({ length: count }, () => commands[turn++ % commands.length] ?? commands[0]);
  };
}
