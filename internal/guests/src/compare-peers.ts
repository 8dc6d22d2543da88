import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { currentKernel } from './kernel-package.ts';
import { bootGuest } from './run-guest.ts';

/** A program that reads a dump, as a process of its own. */
interface Contender {
  readonly name: string;
  readonly command: readonly string[];
}

const RUNS = 3;
/** `crash` takes ten seconds where nothing else runs. */
const PROGRAM_MS = 600_000;
/** Of the guest's 1 GiB, MiB that nothing packs: its kdump has some 380 MB. */
const FILL = 330;

/**
 * Boots a guest, dumps it, and tells how long heki and Debian's `crash` and `drgn` take for the same, as whole processes and in turn: medians of time and memory,
 * and what each peer takes of heki's. The two want the kernel's debug information, a package of 280 MB; `drgn` 0.0.22 does not open a kdump of QEMU's.
 */
export async function comparePeers(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  // As it is installed: after a build alone the command runs from its single modules.
  const root = join(import.meta.dirname, '../../..');
  execFileSync(process.execPath, ['scripts/bundle-heki.mjs'], { cwd: root, stdio: 'ignore' });
  const heki = join(root, 'packages/heki/dist/main.js');
  const kernel = currentKernel('linux-image-cloud-amd64');
  const vmlinux = debugKernel(kernel, folder);
  const elf = join(folder, 'peers.elf');
  const kdump = join(folder, 'peers.kdump');
  if (!existsSync(kdump) || !existsSync(elf)) await dump(kernel, folder, elf, kdump);
  const crash = (...lines: readonly string[]): Contender => ({
    name: `crash: ${lines[0]}`,
    command: [
      'sh',
      '-c',
      `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} quit | crash -s "$0" "$1"`,
      vmlinux,
      kdump,
    ],
  });
  const own = (...args: readonly string[]): Contender => ({
    name: `heki ${args[0]}`,
    command: [process.execPath, heki, ...args],
  });
  const drgn: Contender = {
    name: 'drgn: a symbol',
    command: [
      '/usr/bin/python3',
      '-c',
      'import sys; from drgn import Program; p = Program(); p.set_core_dump(sys.argv[1]); p.load_debug_info([sys.argv[2]]); print(p.symbol("vfs_read"))',
      elf,
      vmlinux,
    ],
  };
  console.log(
    '| of a guest of 1 GiB | s | times heki | s of CPU | times heki | MiB |\n| --- | --- | --- | --- | --- | --- |',
  );
  compare('the leaves of the kernel, in a kdump', [own('walk', kdump), crash('vtop ffffffff81000000')]);
  compare('a symbol, in a kdump', [own('symbols', kdump, 'vfs_read'), crash('sym vfs_read')]);
  compare('a symbol, in an ELF core', [own('symbols', elf, 'vfs_read'), drgn]);
}

/** The kernel's image with debug information, out of its package. */
function debugKernel(kernel: string, folder: string): string {
  const vmlinux = join(folder, 'usr/lib/debug/boot', `vmlinux-${kernel}`);
  if (existsSync(vmlinux)) return vmlinux;
  const name = `linux-image-${kernel}-dbg`;
  const find = () => readdirSync(folder).find((file) => file.startsWith(`${name}_`));
  if (find() === undefined) execFileSync('apt-get', ['download', name], { cwd: folder, stdio: 'ignore' });
  const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --wildcards "*/debug/boot/vmlinux-*"';
  execFileSync('sh', ['-c', unpack, join(folder, find() ?? ''), folder]);
  return vmlinux;
}

async function dump(kernel: string, folder: string, elf: string, kdump: string): Promise<void> {
  const guest = await bootGuest(
    {
      name: 'peers',
      about: 'memory that does not pack',
      kernel,
      cpu: 'max,la57=off',
      memory: '1024M',
      cmdline: '',
      commands: [
        'mkdir -p /m; mount -t tmpfs -o size=700M none /m',
        `dd if=/dev/urandom of=/m/a bs=1M count=${FILL}`,
      ],
    },
    join(folder, 'run'),
    join(folder, 'kernels'),
  );
  const flattened = `${kdump}.flat`;
  try {
    await guest.qmp.execute('stop');
    await guest.qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${elf}` });
    const options = { paging: false, protocol: `file:${flattened}`, format: 'kdump-zlib' };
    await guest.qmp.execute('dump-guest-memory', options);
  } finally {
    await guest.end();
  }
  execFileSync('sh', ['-c', 'makedumpfile -R "$1" < "$0"', flattened, kdump], { stdio: 'ignore' });
  rmSync(flattened);
}

/** Runs all in turn. The first is what the others are compared with. */
function compare(title: string, contenders: readonly Contender[]): void {
  const measured = contenders.map((): Measured[] => []);
  for (let run = 0; run < RUNS; run++) {
    for (const [index, { command }] of contenders.entries()) measured[index]?.push(measure(command));
  }
  const medians = measured.map((runs) => ({
    seconds: median(runs.map(({ seconds }) => seconds)),
    ofCpu: median(runs.map(({ ofCpu }) => ofCpu)),
    mib: Math.round(median(runs.map(({ kib }) => kib)) / 1024),
  }));
  const [own] = medians;
  for (const [index, { seconds, ofCpu, mib }] of medians.entries()) {
    const ratios = [seconds / (own?.seconds ?? 1), ofCpu / (own?.ofCpu ?? 1)].map((ratio) =>
      ratio.toFixed(1),
    );
    const [first, second] = ratios;
    console.log(
      `| ${title}: ${contenders[index]?.name} | ${seconds.toFixed(2)} | ${first} | ${ofCpu.toFixed(2)} | ${second} | ${mib} |`,
    );
  }
}

/** What a program took. Where others run beside it, seconds of the CPU tell more. */
interface Measured {
  readonly seconds: number;
  readonly ofCpu: number;
  readonly kib: number;
}

/** By GNU time. */
function measure(command: readonly string[]): Measured {
  const wrapped = ['-f', '%e %U %S %M', 'sh', '-c', '"$0" "$@" > /dev/null 2>&1', ...command];
  const told = execFileSync('sh', ['-c', '/usr/bin/time "$@" 2>&1', 'sh', ...wrapped], {
    encoding: 'utf8',
    timeout: PROGRAM_MS,
  });
  const [seconds = Number.NaN, user = Number.NaN, system = Number.NaN, kib = Number.NaN] = told
    .trim()
    .split(' ')
    .map(Number);
  return { seconds, ofCpu: user + system, kib };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
