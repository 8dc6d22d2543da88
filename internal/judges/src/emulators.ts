import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sequence, SequenceProcessor } from '@heki-internal/vectors/sequences';

/** Longest run of an emulator, in seconds: a guest that stumbled never ends. */
const TIMEOUT = '20';

/** An emulator that executes the guest on a disk; its serial output. */
export interface Emulator {
  readonly name: 'qemu' | 'bochs';
  /** Whether it can be such a processor at all. */
  knows(processor: SequenceProcessor): boolean;
  /** @param sequences those of the program on the disk, all of one processor */
  run(sequences: readonly Sequence[], disk: string, cylinders: number, folder: string): string;
}

/** Runs an emulator away from every terminal, and gives what it left in the file at `path`. */
function outputOf(path: string, command: string, args: readonly string[]): string {
  rmSync(path, { force: true });
  spawnSync('setsid', ['--wait', 'timeout', '--signal=KILL', TIMEOUT, command, ...args], { stdio: 'ignore' });
  return existsSync(path) ? readFileSync(path, 'latin1') : '';
}

/** QEMU without hardware virtualization. It has SVM, 5-level paging and supervisor keys, and neither PCIDs nor INVPCID. */
export const QEMU: Emulator = {
  name: 'qemu',
  knows: ({ without }) => without.every((name) => name in QEMU_FEATURES),
  run([first], disk, _cylinders, folder) {
    if (first === undefined) return '';
    const { vendor, maxPhysicalAddressBits, without } = first.processor;
    const output = join(folder, 'qemu.out');
    const features = [
      vendor === 'intel' ? 'vendor=GenuineIntel' : 'vendor=AuthenticAMD',
      `phys-bits=${maxPhysicalAddressBits}`,
      ...without.flatMap((name) => QEMU_FEATURES[name] ?? []).map((feature) => `-${feature}`),
    ];
    return outputOf(output, 'qemu-system-x86_64', [
      ...[
        '-accel',
        'tcg',
        '-cpu',
        ['max', ...features].join(','),
        '-m',
        '64',
        '-display',
        'none',
        '-no-reboot',
      ],
      ...['-monitor', 'none', '-serial', `file:${output}`, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
      ...['-drive', `file=${disk},format=raw,if=ide`],
    ]);
  },
};

/** Names that QEMU has for CR4 bits; those that it lacks anyway have none. */
const QEMU_FEATURES: Readonly<Record<string, string>> = {
  smap: 'smap',
  smep: 'smep',
  umip: 'umip',
  pke: 'pku',
  pks: 'pks',
  la57: 'la57',
};

/** Bochs 2.7, as Debian has it: 48-bit addresses, PCIDs, CET; supervisor keys and 5-level paging it has not. */
export const BOCHS: Emulator = {
  name: 'bochs',
  knows: ({ levels, maxPhysicalAddressBits, without }) =>
    levels === 4 &&
    maxPhysicalAddressBits === 40 &&
    without.every((name) => name === 'la57' || name === 'pks'),
  run([first], disk, cylinders, folder) {
    if (first === undefined) return '';
    const { vendor } = first.processor;
    const output = join(folder, 'bochs.out');
    const configuration = join(folder, 'bochsrc');
    const commands = join(folder, 'bochs.commands');
    writeFileSync(
      configuration,
      [
        'megs: 64',
        `cpu: model=${vendor === 'intel' ? 'tigerlake' : 'ryzen'}, count=1, ips=50000000, reset_on_triple_fault=0`,
        'romimage: file=/usr/share/bochs/BIOS-bochs-latest',
        'vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest',
        'boot: disk',
        `ata0-master: type=disk, path=${disk}, mode=flat, cylinders=${cylinders}, heads=16, spt=63`,
        `com1: enabled=1, mode=file, dev=${output}`,
        'display_library: rfb, options="timeout=0"',
        'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy',
        'speaker: enabled=0',
        `log: ${join(folder, 'bochs.log')}`,
        'panic: action=fatal',
        'error: action=ignore',
        'info: action=ignore',
      ].join('\n'),
    );
    // Debian's has the debugger, which waits to be told to go on.
    writeFileSync(commands, 'c\n');
    return outputOf(output, 'bochs', ['-q', '-f', configuration, '-rc', commands]);
  },
};
